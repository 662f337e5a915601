"""A package that reads what a build has: code of installed packages never runs beside the index's secrets."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.support.index_server import PackageIndex, package_index, write_wheel
from tests.support.light_project import empty
from tests.support.workers import image_of

IMAGE = image_of("capy-index")
PASSWORD, TOKEN = "s3cr3t-Bq5Wt8Zn", "token-of-another-server-Jr3Kx7Lm"
# Python runs such a line at each start.
GRAB = (
    "import glob, os, sys; open(f'{sys.prefix}/taken', 'a').write(repr([*map(str, os.environ.items()), "
    "*(open(path).read() for path in glob.glob('/run/secrets/*'))]))\n"
)
BACKEND = """
import base64, glob, os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "in_house_source-1.0-py3-none-any.whl", "in_house_source-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("in_house_source.py", "VERSION = '1.0'")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: in-house-source\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
SOURCE = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    '[project]\nname = "in-house-source"\nversion = "1.0"\n',
    "backend.py": BACKEND,
    "PKG-INFO": "Metadata-Version: 2.2\nName: in-house-source\nVersion: 1.0\n",
}


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PackageIndex]:
    """The private index, with a package that grabs what it can, and a source distribution only."""
    with package_index(
        tmp_path / "private", {}, {"corp": PASSWORD}, content=f"{GRAB} {SOURCE} {TOKEN}"
    ) as index:
        write_wheel(tmp_path / "private/wheels", "in-house-package", "1.0", files={"in_house.pth": GRAB})
        with tarfile.open(tmp_path / "private/wheels/in_house_source-1.0.tar.gz", "w:gz") as sdist:
            for name, text in SOURCE.items():
                member = tarfile.TarInfo(f"in_house_source-1.0/{name}")
                member.size = len(text.encode())
                sdist.addfile(member, io.BytesIO(text.encode()))
        yield index


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PackageIndex]:
    """A public index with a package that grabs what it can, in each Python that starts beside it."""
    files = {"grabber.pth": GRAB, "grabber_backend.py": 'raise SystemExit("the backend runs")\n'}
    with package_index(tmp_path / "public", {}, content=str(files)) as index:
        write_wheel(tmp_path / "public/wheels", "grabber", "1.0", files=files)
        yield index


def make(folder: Path, url: str, package: str = "in-house-package") -> BakedProject:
    """Return a project with a private package, the grabber in the image and in the dev container, no lock."""
    project = empty(generate(folder, project="capy-index", private_index=url, private_packages=package))
    path = project.path / "pyproject.toml"
    text = path.read_text().replace("test = []", 'test = ["grabber"]')
    # uv then starts the environment's Python after each sync
    path.write_text(text.replace("[tool.uv]\n", "[tool.uv]\ncompile-bytecode = true\n"))
    (folder / "netrc").write_text(f"machine other.example.com login you password {TOKEN}\n")
    (folder / "pip.conf").write_text(
        f"[global]\nextra-index-url = https://you:{TOKEN}@pypi.example.com/simple\n"
    )
    return project


def build(
    project: BakedProject, public: PackageIndex, target: str = "runtime"
) -> subprocess.CompletedProcess[str]:
    """Build a target of the image with each secret that there is."""
    files = ["compose.yaml", "compose.override.yaml"]
    files += [".devcontainer/compose.yaml"] if target == "dev" else []
    folder = project.path.parent
    return project.run(
        *("docker", "compose", *(word for file in files for word in ("--file", file))),
        *("build", "--progress", "plain"),
        PUBLIC_INDEX_URL=public.url,
        PYPI_ACCOUNT="corp",
        PYPI_PASSWORD=PASSWORD,
        PIP_CONF=str(folder / "pip.conf"),
        NETRC=str(folder / "netrc"),
    )


def in_image(image: str, *command: str) -> str:
    """Return what a command says in the image, without its entrypoint."""
    run = ["docker", "run", "--rm", "--network", "none", "--entrypoint", command[0], image, *command[1:]]
    return subprocess.run(run, capture_output=True, text=True).stdout


def test_an_installed_package_sees_no_secret_of_the_build(base, tmp_path, private, public):
    """Without uv.lock, then with the one of that build."""
    project = make(tmp_path, private.url)

    for _ in ("without uv.lock", "with uv.lock"):
        runtime, dev = build(project, public), build(project, public, "dev")

        assert (runtime.returncode, dev.returncode) == (0, 0), runtime.stderr + dev.stderr
        for image in (IMAGE, f"{IMAGE}-dev"):
            taken = in_image(image, "cat", "/opt/venv/taken")
            assert "VIRTUAL_ENV" in taken, "the grabber never ran"
            assert (PASSWORD in taken, TOKEN in taken) == (False, False)
            assert "in_house_package" in in_image(image, "sh", "-c", "ls /opt/venv/lib/*/site-packages")
        (project.path / "uv.lock").write_text(in_image(IMAGE, "cat", "/opt/uv.lock"))


def test_a_private_package_that_must_be_built_is_named_first(base, tmp_path, private, public):
    """Its build can read the password, so the user must allow it."""
    project = make(tmp_path, private.url, "in-house-source")

    refused = build(project, public)
    path = project.path / "pyproject.toml"
    named = path.read_text().replace("[tool.uv]\n", '[tool.uv]\nno-binary-package = ["in-house-source"]\n')
    path.write_text(named)
    built = build(project, public)

    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    lines = [line.partition("sync: ")[2] for line in said.splitlines() if "sync: " in line]
    assert any('no-binary-package = ["NAME"] below [tool.uv] in pyproject.toml' in line for line in lines), (
        lines
    )
    assert built.returncode == 0, built.stderr
    assert "1.0" in in_image(
        IMAGE, "/opt/venv/bin/python", "-c", "import in_house_source as it; print(it.VERSION)"
    )
    assert PASSWORD not in in_image(IMAGE, "cat", "/opt/venv/taken")


@pytest.mark.parametrize(
    ("line", "written", "said"),
    [
        ("version = .*$", 'dynamic = ["version"]', "with-index: pyproject.toml has dynamic metadata"),
        (r"dependencies = \[", r'\g<0>"grabber >=1 <2", ', "sync: uv cannot read a line of dependencies"),
        (r"cpu = \[", r'\g<0>"x @ {root:uri}/x"', "sync: uv cannot read a line of dependencies"),
    ],
    ids=["dynamic", "dependency", "extra"],
)
def test_a_build_backend_does_not_run_beside_the_password_to_tell_what_uv_cannot_read(
    base, tmp_path, private, public, line, written, said
):
    """uv asks the backend of the project itself, whatever it may build."""
    project = make(tmp_path, private.url)
    path = project.path / "pyproject.toml"
    text = re.sub(f"(?m)^{line}", written, path.read_text())
    text = re.sub(r"(?m)^requires = .*$", 'requires = ["grabber"]', text)
    path.write_text(re.sub(r"(?m)^build-backend = .*$", 'build-backend = "grabber_backend"', text))

    done = build(project, public)

    output = done.stdout + done.stderr
    assert "the backend runs" not in output
    assert done.returncode != 0
    assert said in output
