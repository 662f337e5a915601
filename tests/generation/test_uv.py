"""`uv` in the image: it keeps the packages of ACCELERATOR, and a change that fails is undone."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.index_server import package_index
from tests.support.uv_command import PATH, Uv

SYNC = "sync --extra cpu --group dev"


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("add x", ["add x, not synced", "sync --inexact --extra cpu --group dev"]),
        # of the package, not of the project
        (
            "add --extra socks httpx",
            ["add --extra socks httpx, not synced", "sync --inexact --extra cpu --group dev"],
        ),
        ("remove x", ["remove x, not synced", SYNC]),
        ("sync", [SYNC]),
        ("sync --locked", ["sync --locked --extra cpu --group dev"]),
        ("sync --extra-index-url URL", ["sync --extra-index-url URL --extra cpu --group dev"]),
        # options before the command, with and without a value, and behind it
        ("-q sync", ["-q sync --extra cpu --group dev"]),
        ("--no-cache sync", ["--no-cache sync --extra cpu --group dev"]),
        ("--project . sync", ["--project . sync --extra cpu --group dev"]),
        ("--color=never --directory . sync", ["--color=never --directory . sync --extra cpu --group dev"]),
        (
            "-q add x --offline",
            ["-q add x --offline, not synced", "-q --offline sync --inexact --extra cpu --group dev"],
        ),
        (
            "--cache-dir c remove x",
            ["--cache-dir c remove x, not synced", "--cache-dir c sync --extra cpu --group dev"],
        ),
        ("export --format cyclonedx1.5", ["export --format cyclonedx1.5 --extra cpu"]),
        ("export --all-extras", ["export --all-extras"]),
        # an extra of the owner's own says nothing about ACCELERATOR
        ("sync --extra gui", ["sync --extra gui --extra cpu --group dev"]),
        ("sync --extra=gui", ["sync --extra=gui --extra cpu --group dev"]),
        ("export --extra gui", ["export --extra gui --extra cpu"]),
        ("sync --extra gui,nvidia", ["sync --extra gui,nvidia"]),
        ("export --extra=nvidia", ["export --extra=nvidia"]),
        ("sync --package my-project", ["sync --package my-project --extra cpu --group dev"]),
        ("run pytest", ["run pytest, not synced"]),
        ("--quiet run sync", ["--quiet run sync, not synced"]),
        # its option, and not uv's
        ("run script.py --help", ["run script.py --help, not synced"]),
        ("--allow-insecure-host h sync", ["--allow-insecure-host h sync --extra cpu --group dev"]),
        # what says by itself what is to be synced, and what syncs nothing
        *((typed, [typed]) for typed in ("sync --extra cpu", "sync --extra=cpu", "sync --only-group test")),
        *(
            (typed, [typed])
            for typed in ("add --no-sync x", "add --frozen x", "add -h", "sync --help", "lock", "--version")
        ),
        ("", [""]),
    ],
)
def test_uv_keeps_what_the_accelerator_chose(projects, tmp_path, typed, called):
    default = next(iter(projects.values())).path
    project = BakedProject(Path(shutil.copytree(default, tmp_path / default.name)))

    assert Uv(project, tmp_path).calls(typed) == called


def test_the_image_starts_it_isolated(bake):
    """The tests here do so, too: tests/support/uv_command.py."""
    assert 'exec /usr/bin/python3 -I -B /usr/local/lib/%s "$@"' in bake().read("docker/Dockerfile")


def test_in_the_runtime_image_there_is_no_group_to_keep(bake, tmp_path):
    assert Uv(bake(), tmp_path, group="").calls("sync") == ["sync --extra cpu"]


@pytest.mark.parametrize(("group", "says"), [("", True), ("dev", False)])
def test_an_added_package_needs_a_build_outside_of_the_dev_container(bake, tmp_path, group, says):
    uv = Uv(bake(), tmp_path, group=group)

    uv.calls("add x")

    assert ("docker compose build" in uv.stderr) == says


NOT_BUILT = (
    'only this container has it, and no build: add "docs" to default-groups in pyproject.toml, uv lock, build'
)
PARTS = [
    ("add --dev x", "", "--group dev ", "docker compose -f compose.yaml -f .devcontainer/compose.yaml build"),
    ("add --dev x", "dev", "", ""),
    ("add --group dev x", "dev", "", ""),
    ("add --group=docs x", "", "--group docs ", NOT_BUILT),
    ("add x --group docs", "dev", "--group docs ", NOT_BUILT),
    ("add --group test x", "", "--group test ", "for the next ones: docker compose build"),
    ("add --optional gui x", "", "--extra gui ", "and no build: add it without --optional"),
    ("add --optional test x", "", "--extra test ", "and no build: add it without --optional"),
    ("add --optional cpu x", "", "", "for the next ones: docker compose build"),
    ("add --optional nvidia x", "", "", "this is for ACCELERATOR=nvidia alone: set it in .env"),
    ("add --package one --group docs x", "", "", "for the next ones: docker compose build"),
]


@pytest.mark.parametrize(("typed", "group", "options", "says"), PARTS)
def test_a_package_of_a_group_is_installed_and_the_last_line_says_which_build_has_it(
    bake, tmp_path, typed, group, options, says
):
    uv = Uv(bake(), tmp_path, group=group)

    calls = uv.calls(typed)

    ends = " --group dev" if group else ""
    assert calls == [f"{typed}, not synced", f"sync --inexact {options}--extra cpu{ends}"]
    assert says in uv.stderr and bool(says) == bool(uv.stderr)


@pytest.mark.parametrize("part", ["--group docs", "--optional gui"])
def test_what_no_build_has_needs_none_after_its_removal(bake, tmp_path, part):
    uv = Uv(bake(), tmp_path, group="")

    assert uv.calls(f"remove {part} x")[1:] == ["sync --extra cpu"]
    assert uv.stderr == ""


def test_a_group_in_default_groups_is_in_every_build(bake, tmp_path):
    uv = Uv(bake(), tmp_path, group="")
    pyproject = uv.project.path / "pyproject.toml"
    text = pyproject.read_text()
    assert 'default-groups = ["test"' in text
    pyproject.write_text(
        text.replace('default-groups = ["test"', "default-groups = [\n  'docs',\n  \"test\"")
    )

    uv.calls("add --group docs x")

    assert "for the next ones: docker compose build" in uv.stderr


def test_nvidia_s_image_has_the_groups_of_its_dockerfile(bake, tmp_path):
    """`--only-group` there leaves out default-groups."""
    uv = Uv(bake(environment="training-ngc", notebook=True), tmp_path, group="")

    for group in re.findall("--only-group ([a-z]+)", uv.project.read("docker/Dockerfile")):
        uv.calls(f"add --group {group} x")
        assert "build" in uv.stderr and "only this container" not in uv.stderr
    uv.calls("add --group docs x")

    assert 'add { include-group = "docs" } to the group test' in uv.stderr


@pytest.mark.parametrize("fails", ["add", "remove", "sync"])
def test_a_change_that_fails_leaves_the_files_as_they_were(bake, tmp_path, fails):
    """Also where uv had written them before it failed, and where there was no lock file."""
    uv = Uv(bake(), tmp_path, fails=fails)
    before = uv.files()

    uv.calls("remove x" if fails == "remove" else "add x")

    assert uv.code != 0
    assert uv.files() == before
    assert ("the installation failed" in uv.stderr) == (fails == "sync")


@pytest.mark.parametrize("where", ["pyproject.toml", "uv.lock"])
@pytest.mark.parametrize("typed", ["add x", "remove x", "lock", "sync", "sync --extra cpu"])
def test_without_git_a_project_with_a_package_from_git_names_the_dev_container(bake, tmp_path, typed, where):
    uv = Uv(bake(), tmp_path, fails=typed.split()[0])
    here = {"PATH": f"/opt/venv/bin:{without_git(tmp_path)}"}

    uv.calls(typed, **here)
    assert "git" not in uv.stderr
    with (uv.project.path / where).open("a") as file:
        file.write('x = { git = "https://git.example.com/x" }\n')
    uv.calls(typed)
    assert "git" not in uv.stderr  # it has git here
    uv.calls(typed, **here)

    assert "is in the dev container only: run this command there" in uv.stderr
    assert uv.code == 1


def test_a_url_of_git_names_the_dev_container(bake, tmp_path):
    uv = Uv(bake(), tmp_path, fails="install")

    uv.calls("pip install git+https://git.example.com/x", PATH=f"/opt/venv/bin:{without_git(tmp_path)}")

    assert "is in the dev container only: run this command there" in uv.stderr


def without_git(folder: Path) -> Path:
    """Return a folder for PATH that has a shell alone."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    return programs


@pytest.mark.parametrize("option", ["--project=sub", "--directory=sub", "--project sub"])
def test_the_files_of_the_named_project_are_put_back(bake, tmp_path, option):
    uv = Uv(bake(), tmp_path, fails="sync")
    other = uv.project.path / "sub"
    other.mkdir()
    for name in ("pyproject.toml", "uv.lock"):
        (other / name).write_text("as it was\n")

    uv.calls(f"{option} add x", IN="sub")

    assert {(other / name).read_text() for name in ("pyproject.toml", "uv.lock")} == {"as it was\n"}


@pytest.mark.parametrize("fails", ["", "sync"])
def test_a_package_of_a_part_of_the_workspace_is_installed_with_the_whole(bake, tmp_path, fails):
    """Its pyproject.toml has no extra of ACCELERATOR, and its lock file is the workspace's."""
    uv = Uv(bake(), tmp_path, fails=fails)
    uv.add_part("libs/one")

    calls = uv.calls("--offline --directory libs/one --color never add x")

    assert calls[:2] == [
        "--offline --directory libs/one --color never add x, not synced",
        f"--offline --color never sync --inexact {uv.whole()} --extra cpu --group dev",
    ]
    assert (uv.code != 0) == bool(fails)
    assert ("uv.lock" in uv.files()) == (not fails)


@pytest.mark.parametrize(
    "typed", ["--directory libs/one sync --locked", "sync --project=libs/one --locked --all-packages"]
)
def test_a_part_of_the_workspace_is_synced_with_the_whole(bake, tmp_path, typed):
    uv = Uv(bake(), tmp_path)
    uv.add_part("libs/one")

    assert uv.calls(typed) == [f"sync --locked {uv.whole()} --extra cpu --group dev"]


def test_a_sync_of_one_package_would_remove_the_accelerator_s(bake, tmp_path):
    uv = Uv(bake(), tmp_path)
    uv.add_part("libs/one")

    assert (uv.calls("sync --package one"), uv.code) == ([], 64)
    assert "for all: uv sync --all-packages" in uv.stderr


@pytest.mark.parametrize("typed", ["export --package one", "--directory libs/one export"])
def test_the_export_of_a_part_has_no_extra_of_the_whole(bake, tmp_path, typed):
    uv = Uv(bake(), tmp_path)
    uv.add_part("libs/one")

    assert uv.calls(typed) == [typed]


@pytest.mark.parametrize("setting", ["UV_NO_SYNC", "UV_FROZEN"])
@pytest.mark.parametrize(("value", "calls"), [("1", 1), ("true", 1), ("0", 2), ("", 2)])
def test_a_setting_of_uv_s_that_says_not_to_install_is_kept(bake, tmp_path, setting, value, calls):
    uv = Uv(bake(), tmp_path)

    assert len(uv.calls("add x", **{setting: value})) == calls


@pytest.mark.parametrize("typed", ["add x", "remove x", "sync", "pip install x"])
def test_the_exit_code_is_the_doctor_s(bake, tmp_path, typed):
    uv = Uv(bake(), tmp_path, doctor="exit 3")

    assert uv.calls(typed)[-1] == "doctor --packages"
    assert uv.code == 3


@pytest.mark.parametrize("when", ["sync", "doctor"])
def test_ctrl_c_ends_it_in_one_line_at_most(bake, tmp_path, when):
    uv = Uv(bake(), tmp_path, fails="sync" if when == "sync" else "", hangs=True, doctor="exec sleep 60")

    uv.terminate("add x", when=when, by=signal.SIGINT)

    assert uv.code == 130
    assert "Traceback" not in uv.stderr


def test_a_uv_that_a_package_brings_is_replaced(bake, tmp_path):
    """It stands first in PATH, and its sync would remove the packages of ACCELERATOR."""
    uv = Uv(bake(), tmp_path)
    theirs = tmp_path / "environment/bin/uv"
    theirs.parent.mkdir(parents=True)

    uv.calls("sync", UV_PROJECT_ENVIRONMENT=str(tmp_path / "environment"))
    assert not theirs.exists()
    theirs.write_text("a program")
    uv.calls("lock", UV_PROJECT_ENVIRONMENT=str(tmp_path / "environment"))
    assert theirs.read_text() == "a program"  # nothing was installed
    uv.calls("add hatch", UV_PROJECT_ENVIRONMENT=str(tmp_path / "environment"))

    assert theirs.resolve() == uv.script.resolve()
    # called by that link, while a newer uv takes its place
    own, uv.script = uv.script, theirs
    with (tmp_path / "uv").open("a") as stand_in:
        stand_in.write(f"rm {theirs}; echo 'a newer program' > {theirs}\n")
    uv.calls("sync", UV_PROJECT_ENVIRONMENT=str(tmp_path / "environment"))
    assert theirs.resolve() == own.resolve()


def test_a_change_that_is_terminated_while_it_installs_is_undone(bake, tmp_path):
    uv = Uv(bake(), tmp_path, fails="sync", hangs=True)
    before = uv.files()

    uv.terminate("add x", when="sync")

    assert uv.code == 143
    assert uv.files() == before


def test_a_mirror_of_the_environment_is_used_and_not_written_into_pyproject_toml(bake, tmp_path):
    """With a private index: tests/engine/test_dependency_confusion.py."""
    project = bake()
    (project.path / "pyproject.toml").write_text(
        "[project]\nname = 'p'\nversion = '0'\nrequires-python = '>=3.10'\n"
    )
    uv = Uv(project, tmp_path)
    (tmp_path / "uv").unlink()
    (tmp_path / "uv").symlink_to(Path(sys.executable).with_name("uv"))

    with package_index(tmp_path / "mirror", {"some-package": "1.0"}) as mirror:
        settings = {"PUBLIC_INDEX_URL": mirror.url, "UV_DEFAULT_INDEX": mirror.url, "TMPDIR": str(tmp_path)}
        done = project.run(*uv.command("add --no-sync some-package"), **PATH, **settings)

    assert done.returncode == 0, done.stderr
    assert '"some-package>=1.0"' in project.read("pyproject.toml")
    assert mirror.url in project.read("uv.lock")
    assert mirror.url not in project.read("pyproject.toml")
