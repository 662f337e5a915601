"""Somebody publishes a higher version of the private package on the public index: it never gets in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.support.index_server import PackageIndex, package_index
from tests.support.light_project import empty, without_retries
from tests.support.stand_ins import ON_THE_HOST
from tests.support.workers import image_of, report

IMAGE = image_of("capy-index")
LOGIN = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": "s3cr3t"}
ACCOUNTS = {"corp": "s3cr3t"}
PACKAGE = {"in-house-package": "1.0"}


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PackageIndex]:
    """A public index with the attacker's version, and all the real packages."""
    packages = {"in-house-package": "99.0"}
    with package_index(tmp_path / "public", packages, content=str(packages)) as index:
        yield index


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PackageIndex]:
    """The private index."""
    with package_index(tmp_path / "private", PACKAGE, ACCOUNTS, content="private") as index:
        yield index


def make(folder: Path, url: str, packages: str = "in-house-package") -> BakedProject:
    """Return a project with a private index, all its public packages, and no lock."""
    project = generate(folder, project="capy-index", private_index=url, private_packages=packages)
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    (project.path / ".env").write_text("ACCELERATOR=cpu\n")
    return project


def build(project: BakedProject, public: PackageIndex) -> str:
    """Build the image; return which version of the private package it has, or the log where it fails."""
    settings = {**LOGIN, "PUBLIC_INDEX_URL": public.url}
    done = project.run("docker", "compose", "build", "--progress", "plain", **settings)
    return installed(project) if done.returncode == 0 else done.stdout + done.stderr


def installed(project: BakedProject) -> str:
    """Return the version that the image has."""
    code = "import in_house_package; print(in_house_package.VERSION)"
    return project.run(
        "docker", "run", "--rm", "--entrypoint", "/opt/venv/bin/python", IMAGE, "-c", code
    ).stdout.strip()


def locked(project: BakedProject, name: str = "in-house-package") -> str:
    """Return the version of a package that uv.lock has, and the index that it is from."""
    lock = project.read("uv.lock")
    return " ".join(re.search(rf'name = "{name}"\nversion = "(.*)"\nsource = .*"(http.*)"', lock).groups())


def test_the_public_index_really_offers_the_higher_version(base, tmp_path, public, private):
    """Without the line under [tool.uv.sources], it is what a build gets: this is what the line is for."""
    project = empty(make(tmp_path, private.url))
    path = project.path / "pyproject.toml"
    path.write_text(path.read_text().replace('in-house-package = { index = "private" }', ""))

    assert build(project, public) == "99.0"


def test_a_build_has_the_private_version_with_and_without_a_lock(
    base, tmp_path, public, private, pytestconfig
):
    project = empty(make(tmp_path, private.url))
    path = project.path / "pyproject.toml"
    path.write_text(path.read_text().replace("test = []", 'test = ["pytest"]'))  # from the public one

    without_lock = build(project, public)
    settings = {**LOGIN, "PUBLIC_INDEX_URL": public.url}
    run = ["docker", "compose", "run", "--rm", "--env", "PYPI_PASSWORD", "app"]
    done = project.run(*run, "uv", "lock", "--upgrade", **settings)
    assert done.returncode == 0, done.stderr
    with_lock = build(project, public)

    assert (without_lock, with_lock) == ("1.0", "1.0")
    assert locked(project) == f"1.0 {private.url}"
    report(
        pytestconfig, "a public version 99.0 of the private package: 1.0 installed, with and without a lock"
    )


WHICH = "python -c 'import in_house_package; print(in_house_package.VERSION)'"
AD_HOC = [
    "uv pip install --upgrade in-house-package",
    "uv -q --directory /code pip install --reinstall In_House.Package==99.0",
    "uv pip install --upgrade -r list.txt",
    "uv pip sync list.txt",
    "uv pip install --target /tmp/t in-house-package[extra]",
    f"uv run --with 'in-house-package>1' {WHICH}",
    "uv run script.py",
    f"uv tool run --from in-house-package {WHICH}",
    "uv tool install --with in-house-package cowsay",
    "uv tool install --with-executables-from=numpy,in-house-package cowsay",
    "cp script.py script.PY && uv run script.PY",
    "cp script.py plain && uv run --gui-script plain",
    'uv pip install --upgrade \'in-house-package ; python_version > "3" and "@" != "/"\'',
]
# What uv reads, and the check cannot.
UNSEEN = [
    """python -c "open('utf-16.txt', 'w', encoding='utf-16').write('in-house-package')" """,
    "uv pip install --upgrade -r utf-16.txt",
    "echo '-r ${PWD}/list.txt' > outer.txt; uv pip install --upgrade -r outer.txt",
    "cp pyproject.toml before; echo '<<<<<<< HEAD' >> pyproject.toml",
    "uv pip install --upgrade in-house-package",
    "uv tool install in-house-package",
    "uv run script.py",
    "mv before pyproject.toml",
]
REFUSED = len(AD_HOC) + sum(line.count("uv ") for line in UNSEEN)


def test_no_command_beside_the_project_takes_the_public_one(base, tmp_path, public, private, pytestconfig):
    project = empty(make(tmp_path, private.url))
    assert build(project, public) == "1.0"
    (project.path / "list.txt").write_text("In-House_Package\n")
    header = '# /// script\n# dependencies = ["in-house-package"]\n# ///\n'
    (project.path / "script.py").write_text(f"{header}import in_house_package as p; print(p.VERSION)\n")
    (project.path / "ad-hoc.sh").write_text("\n".join([*AD_HOC, *UNSEEN, "uv pip list", "ls /tmp/t", ""]))
    settings = {**LOGIN, "PUBLIC_INDEX_URL": public.url}
    run = ["docker", "compose", "run", "--rm", "--env", "PYPI_PASSWORD", "app"]

    done = project.run(*run, "sh", "ad-hoc.sh", **settings)
    newer = project.run(*run, "uv", "sync", "--upgrade-package", "in-house-package", **settings)

    assert "99.0" not in done.stdout + done.stderr.replace("==99.0", "")
    assert done.stderr.count("this would install a public one: uv add") == len(AD_HOC), done.stderr
    assert done.stderr.count("tool.uv.sources") == REFUSED, done.stderr
    assert "in-house-package 1.0" in " ".join(done.stdout.split())
    assert newer.returncode == 0, newer.stderr  # what the line says to type
    report(pytestconfig, f"{REFUSED} ways of `uv pip`, `uv run` and `uv tool` to ask for it: refused")


def test_uv_add_binds_a_package_to_its_index_beside_a_mirror(base, tmp_path, pytestconfig):
    """uv would write a mirror in its environment into pyproject.toml, and no source for the package."""
    names = {"in-house-package": "1.0", "in-house-tool": "1.0"}
    others = {**dict.fromkeys(names, "99.0"), "in-public": "1.0"}
    with (
        package_index(tmp_path / "public", others, content=str(others)) as mirror,
        package_index(tmp_path / "private", names, ACCOUNTS, content=str(names)) as index,
    ):
        project = empty(make(tmp_path, index.url))
        assert build(project, mirror) == "1.0"
        run = ["docker", "compose", "run", "--rm", "--env", "PYPI_PASSWORD", "app", "sh", "-c"]
        steps = "uv add --index private in-house-tool && uv add in-public && uv lock --upgrade"
        settings = {**LOGIN, "PUBLIC_INDEX_URL": mirror.url}

        done = project.run(*run, f"{steps} && uv run env", **settings)

    assert done.returncode == 0, done.stderr
    assert "XDG_CONFIG_HOME" not in done.stdout
    written = project.read("pyproject.toml")
    assert 'in-house-tool = { index = "private" }' in written
    assert mirror.url not in written
    assert locked(project, "in-house-tool") == f"1.0 {index.url}"
    assert locked(project, "in-public") == f"1.0 {mirror.url}"
    report(pytestconfig, "uv add --index private beside a mirror: the private version stays")


def test_a_private_index_that_is_down_lets_nothing_in(base, tmp_path, public, pytestconfig):
    with package_index(tmp_path / "down", PACKAGE, ACCOUNTS, content="down later") as private:
        project = without_retries(empty(make(tmp_path, private.url)))
        assert build(project, public) == "1.0"
        settings = {**LOGIN, "PUBLIC_INDEX_URL": public.url}
        run = ["docker", "compose", "run", "--rm", "--env", "PYPI_PASSWORD", "app"]
        assert project.run(*run, "uv", "lock", **settings).returncode == 0
    # a port where nothing ever answered: no cache has the package of that index
    nobody = re.sub(r":\d+/", ":9/", private.url)
    for name in ("pyproject.toml", "uv.lock"):
        path = project.path / name
        path.write_text(path.read_text().replace(private.url, nobody).replace(private.root, nobody[:-7]))

    with_lock = build(project, public)
    (project.path / "uv.lock").unlink()
    without_lock = build(project, public)

    for log in (with_lock, without_lock):
        assert re.search(rf"with-index: .*{re.escape(nobody)}.* cannot be reached", log), log
    report(pytestconfig, "the private index is down: the build fails, with and without a lock")


@pytest.mark.parametrize(
    ("named", "version"),
    [("in-house-tool, in-house-package", "1.0"), ("in-house-tool", "99.0")],
    ids=["named", "not named"],
)
def test_a_package_that_a_private_one_needs_is_safe_where_it_is_named(
    base, tmp_path, public, pytestconfig, named, version
):
    """The READMEs and the question ask for it: uv has the sources of a project's own dependencies only."""
    packages, needs = PACKAGE | {"in-house-tool": "1.0"}, {"in-house-tool": "in-house-package"}
    with package_index(tmp_path / "both", packages, ACCOUNTS, needs=needs, content=named) as private:
        project = empty(make(tmp_path, private.url, named))

        assert build(project, public) == version

    report(pytestconfig, f"private_packages={named}, the tool needs the package: {version} installed")


def test_a_mirror_that_asks_for_a_login_has_the_private_index_s(base, tmp_path):
    """A company's one index, with its own packages and the public ones, as most of the products are."""
    index = package_index(tmp_path / "all", PACKAGE, ACCOUNTS, public=True, content="all")
    with index as everything:
        project = empty(make(tmp_path, everything.url))

        version = build(project, everything)

    assert version == "1.0"
