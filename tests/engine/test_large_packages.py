"""The layer of the large packages: what is in it, and that it stays when other packages change."""

from __future__ import annotations

import hashlib
import re
import uuid
import zipfile
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.build_log import is_cached
from tests.support.workers import image_of

# What a wheel may bring, and whether the image keeps it.
FILES = {
    "triton/__init__.py": True,
    "triton/backends/nvidia/lib/cupti/libcupti_static.a": False,
    "nvidia/cu13/lib/libnvrtc.so.13": True,
    "nvidia/cu13/lib/libnvrtc.alt.so.13": False,
    "nvidia/cu13/lib/libnvrtc-builtins.alt.so.13.0": False,
    "other/lib/libown.a": True,
}


@pytest.fixture
def wheel(tmp_path) -> Path:
    """A wheel with such files."""
    path = tmp_path / "triton-9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in FILES:
            archive.writestr(name, "")
        archive.writestr(
            "triton-9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: triton\nVersion: 9.9\n"
        )
        archive.writestr("triton-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("triton-9.9.dist-info/RECORD", "")
    return path


def test_what_no_program_loads_is_left_out(docker, image, wheel, tmp_path):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "pylock.toml").write_text(f"""\
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "triton"
version = "9.9"
wheels = [{{ path = "/opt/large/{wheel.name}", hashes = {{ sha256 = "{digest}" }} }}]
""")
    script = "sync-environment --large >&2 && cd /opt/venv/lib/python3*/site-packages && ls -d " + " ".join(
        FILES
    )

    found = docker.run(
        image,
        ["-c", f"{script} || true"],
        entrypoint="sh",
        user="0",
        remove=True,
        networks=["none"],
        volumes=[(tmp_path, "/opt/large", "ro")],
    )

    assert found.split() == sorted(name for name, kept in FILES.items() if kept)


def test_an_added_package_and_a_newer_entrypoint_leave_the_layer_as_it_is(
    docker, image, project: BakedProject
):
    """An update of the template brings new scripts."""
    compose = project.path / "compose.yaml"
    compose.write_text(compose.read_text().replace("image: capy-test", "image: capy-test-added"))
    pyproject = project.path / "pyproject.toml"
    pyproject.write_text(
        re.sub(r"(?m)^dependencies = \[$", 'dependencies = [\n    "tomli",', pyproject.read_text())
    )

    for script in ("entrypoint.sh", "uv/program.py"):
        path = project.path / "docker" / script
        path.write_text(f"{path.read_text()}# {uuid.uuid4()}\n")  # no build has been here before

    printed = build(project)

    assert is_cached(printed, r"\[large .*sync-environment --large")
    assert is_cached(printed, r"\[compiler .*apt-get install")
    assert not is_cached(printed, r"\[scripts ")
    assert "tomli" in docker.run(
        image_of("capy-test-added"), ["-c", "import tomli; print(tomli)"], remove=True
    )


def test_a_uv_that_a_package_brings_does_not_install(docker, image):
    """As hatch does: it knows nothing of ACCELERATOR, and would remove the frameworks."""
    script = """
printf '#!/bin/sh\necho THEIRS >&2; exit 1\n' > /opt/venv/bin/uv && chmod 0755 /opt/venv/bin/uv
cp /opt/uv.lock . && sync-environment --list-large && grep -c '^name' /opt/large/pylock.toml
"""

    found = docker.run(image, ["-c", script], entrypoint="sh", user="0", remove=True, networks=["none"])

    assert int(found) > 0


@pytest.mark.nightly
def test_an_added_package_leaves_the_dev_container_s_system_packages_as_they_are(
    image, project: BakedProject
):
    build(project, ".devcontainer/compose.yaml")
    pyproject = project.path / "pyproject.toml"
    added = re.sub(r"(?m)^dependencies = \[$", 'dependencies = [\n    "tomli",', pyproject.read_text())
    pyproject.write_text(added)

    printed = build(project, ".devcontainer/compose.yaml")

    assert is_cached(printed, r"\[dev .*apt-get install")
    assert not is_cached(printed, r"\[dev .*sync-environment --packages")


def build(project: BakedProject, *files: str) -> str:
    """Build the service `app` with these files besides compose.yaml, and return the log."""
    more = ["compose.override.yaml"] if (project.path / "compose.override.yaml").exists() else []
    options = [word for file in ("compose.yaml", *files, *more) for word in ("--file", file)]
    done = project.run("docker", "compose", *options, "--progress", "plain", "build", "app")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
