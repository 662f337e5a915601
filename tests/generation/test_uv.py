"""What `uv` means in the image (docker/uv.py), with a program in uv's place that says how it was called."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.index_server import package_index

SYNC = "sync --extra cpu --group dev"
# As the entrypoint and VS Code have it: without the environment, `uv` starts again by the entrypoint.
PATH = {"PATH": f"/opt/venv/bin:{os.environ['PATH']}"}


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


def test_the_doctor_which_imports_packages_does_not_get_the_password(bake, tmp_path):
    project = bake(private_index="https://pypi.example.com/simple")

    calls = Uv(project, tmp_path, doctor="exit 0").calls("sync", PYPI_PASSWORD="s3cr3t")

    login = f", with a login for {project.path}"
    assert calls == [f"{SYNC}, with the password{login}", "doctor --packages"]


NO_LOGIN = [
    *("run env", "--directory . run env", "--project . run env", "--color never run env", "-q run env"),
    *("--cache-dir add run env", "-q tool run x", "tool install x", "publish", "auth token x", "init"),
    *("python list", "format", "check", "self update", "--new-option x run env", "help add", ""),
]


def test_a_command_that_starts_other_programs_gets_no_login(bake, tmp_path):
    uv = Uv(bake(private_index="https://pypi.example.com/simple"), tmp_path)

    called = {typed: uv.calls(typed, PYPI_PASSWORD="s3cr3t") for typed in NO_LOGIN}

    said = {typed: [call.removesuffix(", not synced") for call in calls] for typed, calls in called.items()}
    assert said == {typed: [typed] for typed in NO_LOGIN}


def test_a_command_that_resolves_gets_the_login_of_its_project(bake, tmp_path):
    project = bake(private_index="https://pypi.example.com/simple")
    sub = project.path / "sub"
    sub.mkdir()
    (sub / "pyproject.toml").touch()
    uv = Uv(project, tmp_path)

    for typed in ("lock", "-q tree", "pip install numpy"):
        assert uv.calls(typed) == [f"{typed}, with a login for {project.path}"]
    for typed in ("--project sub lock", "--directory=sub pip list", "--directory . --project sub export"):
        assert uv.calls(typed) == [f"{typed}, with a login for {sub}"]
    assert uv.calls("lock", UV_PROJECT="sub") == [f"lock, with a login for {sub}"]


OWN = "In_House.Package"
HEADER = '# /// script\n# dependencies = ["numpy", "{}>1"]\n# ///\n'


PUBLIC = [
    *(f"pip install {name}" for name in ("in-house-package", OWN, f"{OWN}==1.0", f"{OWN}[extra]>=1,<2")),
    *(f"-q --project . pip install --upgrade numpy {name}" for name in (OWN, f"{OWN}~=1.0", f"{OWN};x")),
    *("pip install -r list.txt", "pip install -rlist.txt", "pip sync list.txt", "pip compile list.txt"),
    *("pip install --requirement=outer.in", f"pip install --index https://other.example.com {OWN}"),
    *(f"tool install {OWN}", f"tool run {OWN}@latest", f"tool run --from {OWN} x", f"tool upgrade {OWN}"),
    *(f"run --with {OWN} python", f"run --with=numpy,{OWN} python", f"run -w {OWN} x", "run script.py"),
    *("run --with-requirements list.txt x", "run --with-requirements absent.txt,list.txt x"),
    *("lock --script script.py", f"add --script=s.py {OWN}"),
    *(f"pip install -P{OWN} numpy", f"pip install --upgrade-package {OWN} numpy"),
    *(f"--preview-features format pip install -U {OWN}", f"--trusted-host h pip install {OWN}"),
    *(f"tool uvx {OWN}", f"run -qw {OWN} x", f"run -qw={OWN} x", f"-v pip install -Uw {OWN}"),
    *("pip install -vrtabs.txt", "pip install -r cr.txt", f"pip install -qP {OWN} numpy"),
    *("pip install -r tools/pyproject.toml", "pip install -r s.PY", f"pip --cert list install {OWN}"),
    *(f"tool install --with-executables-from={name} cowsay" for name in (OWN, f"helper,{OWN}")),
    *("run script.PY", "run --gui-script plain", "run -s plain", "run --script=plain"),
    *("run -qsplain", "run embedded.py", f"pip install helper,{OWN}"),
]
# How a requirements file can name another one, and uv reads it.
INCLUDES = ("http://127.0.0.1/x", "file:///x", "file:x", "${REQS}/x", "'list.txt'", 'li"st.txt"')
INCLUDES += ("with space.txt", "list.txt#x", "in\\ ner", "\nlist.txt")
UNSEEN = [
    "pip install -r -",
    "pip install -r-",
    "pip install --requirement=pipe",
    "pip install -r /dev/stdin",
    "pip install --group x.toml:g",
    "pip sync -",
    *("pip install -r https://example.com/r.txt", "pip sync https://example.com/r.txt"),
    *("run https://example.com/script.py", "run --with x -q https://example.com/script.py", "run -"),
    *("run --with-requirements https://example.com/r.txt x", "tool run --with-requirements - x"),
    *(
        "lock --script https://example.com/script.py",
        "run --python 3 -",
        "pip install -r file:x",
        "pip sync File:x",
    ),
    *("--directory run run https://example.com/a.py", "run --project . https://example.com/a.py"),
    *("pip install -r utf-16.txt", "pip sync utf-16.txt", "pip install -r sub/setup.py"),
    *(f"pip install -r includes-{number}.txt" for number in range(len(INCLUDES))),
    *("pip install -r broken/pyproject.toml", "run broken.py"),
]
NOT_PUBLIC = [
    *("pip install numpy", "pip install in-house-package-2", "pip uninstall in-house-package"),
    *("pip install ./in-house-package", "pip install in-house-package@https://example.com/a.whl"),
    *("pip show in-house-package", "pip install torch", "tool uninstall in-house-package"),
    *("run in-house-package", "run python -m in-house-package", "run own.py", "add in-house-package"),
    *("run script-of-mine.py https://example.com/a", "run python -", "run -m http.server -", "run -- x -"),
    *("pip install https://example.com/a.whl", f"run python -c {'x' * 300}", "run python list.txt"),
    *("pip install -r pyproject.toml", "tool run cowsay in-house-package", "pip install ./a.whl"),
    *("run --no-sync uvicorn main:app", "run train.py --with in-house-package"),
    "--directory run run x.py -",
    *("sync --upgrade-package in-house-package", "remove in-house-package", "pip install -r absent.txt"),
    "pip install --index-url https://pypi.example.com/simple/ in-house-package",
    "pip install --index private=https://pypi.example.com/simple in-house-package",
]


@pytest.fixture
def own(bake, tmp_path):
    """docker/uv.py of a project with a private package, and files that name it."""
    project = bake(private_index="https://pypi.example.com/simple", private_packages="in-house-package")
    own = HEADER.format(OWN)
    source = f'# [tool.uv.sources]\n# "{OWN}" = {{ index = "x" }}\n# ///\n'
    embedded = own.replace("# dep", "# a = '''\n# ///\n# '''\n# dep")
    files = {
        "list.txt": f"numpy\n{OWN} >= 1  # ours\n",
        "outer.in": "-r list.txt\n",
        "tabs.txt": f"{OWN}\t# ours\n",
        "cr.txt": "numpy\r--requirement=list.txt\t# ours",
        **dict.fromkeys(("script.py", "script.PY", "s.PY", "plain"), own),
        "embedded.py": embedded,
        "own.py": own.removesuffix("# ///\n") + source,
        "broken.py": own.replace("]", ""),
        "sub/setup.py": "",
        "a.whl": "\0",
        "tools/pyproject.toml": f"[project]\ndependencies = ['{OWN}']\n",
        "broken/pyproject.toml": "<<<<<<< HEAD\n",
        "run/x.py": "",
        **{f"includes-{number}.txt": f"numpy\n-r {name}\n" for number, name in enumerate(INCLUDES)},
    }
    for name, text in files.items():
        (project.path / name).parent.mkdir(exist_ok=True)
        (project.path / name).write_text(text)
    (project.path / "utf-16.txt").write_text(f"{OWN}\n", encoding="utf-16")
    os.mkfifo(project.path / "pipe")
    return Uv(project, tmp_path)


def test_a_private_package_is_not_taken_from_the_public_index(own):
    for typed in PUBLIC:
        assert (typed, own.calls(typed), own.code) == (typed, [], 64)
        assert "(tool.uv.sources), and this would install a public one: uv add" in own.stderr


def test_what_cannot_be_checked_for_private_packages_is_refused(own):
    for typed in UNSEEN:
        assert (typed, own.calls(typed), own.code) == (typed, [], 64)
        assert "cannot be checked against tool.uv.sources" in own.stderr


def test_what_names_no_private_package_is_installed(own):
    for typed in NOT_PUBLIC:
        assert (typed, own.calls(typed) != [], own.code) == (typed, True, 0), own.stderr


def test_a_marker_may_contain_what_a_url_has(own):
    typed = [f'{OWN} ; python_version > "3" and "@" != "/"']

    assert own.project.run(*own.command("pip install"), *typed, **PATH).returncode == 64


@pytest.mark.parametrize(
    "source",
    ["3", "[]", "{ index = 'private', marker = 'x' }", "{ index = 3 }"],
    ids=["no table", "empty", "marker", "no index"],
)
def test_any_source_makes_a_package_a_private_one(own, source):
    pyproject = own.project.path / "pyproject.toml"
    before = 'in-house-package = { index = "private" }'
    assert before in pyproject.read_text()
    pyproject.write_text(pyproject.read_text().replace(before, f"in-house-package = {source}\nother = 3"))

    for typed in ("pip install in-house-package", "run script.py", "tool run other"):
        assert (own.calls(typed), own.code) == ([], 64)


INVALID = {"conflict": "<<<<<<< HEAD\n", "no table": "[tool.uv]\nsources = 3\n", "bytes": "\udcff"}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_an_invalid_pyproject_toml_lets_nothing_in(own, text):
    """uv would warn, and go on without its sources."""
    pyproject = own.project.path / "pyproject.toml"
    pyproject.write_text(text, errors="surrogateescape")

    for typed in ("pip install x", "tool install x", "run a.py", "lock --script a.py"):
        assert (typed, own.calls(typed), own.code) == (typed, [], 64)
        assert f"uv: {pyproject} is invalid" in own.stderr
    for typed in ("pip list", "lock", "sync"):  # uv itself says what is wrong
        assert own.calls(typed)


def test_the_image_s_own_private_packages_stay_private(own, tmp_path):
    """Code in the container can write to the project's pyproject.toml."""
    built = tmp_path / "built.toml"
    (own.project.path / "pyproject.toml").rename(built)
    (own.project.path / "pyproject.toml").write_text("[project]\n")
    reader = own.project.path / "docker/with-index/projects.py"
    reader.write_text(reader.read_text().replace("/opt/pyproject.toml", str(built)))

    assert (own.calls("pip install in-house-package"), own.code) == ([], 64)


def test_a_pyproject_toml_of_windows_has_sources_too(own):
    pyproject = own.project.path / "pyproject.toml"
    pyproject.write_text(pyproject.read_text(), encoding="utf-8-sig", newline="\r\n")

    assert "is a private package" in (own.calls("pip install in-house-package"), own.stderr)[1]


class Uv:
    """docker/uv.py of a project, with stand-ins for what it starts."""

    def __init__(
        self,
        project: BakedProject,
        folder: Path,
        *,
        group: str = "dev",
        fails: str = "",
        hangs: bool = False,
        doctor: str | None = None,
    ) -> None:
        self.project, self.group, self.code, self.stderr = project, group, 0, ""
        stand_in = folder / "uv"
        ends = "exec sleep 60" if hangs else "exit 1"
        stand_in.write_text(
            '#!/bin/sh\necho "$*${UV_NO_SYNC:+, not synced}${PYPI_PASSWORD:+, with the password}$LOGIN_FOR"\n'
            'case " $* " in *" add "* | *" remove "*)\n'
            'for file in pyproject.toml uv.lock; do echo "# changed" >> "${IN:-.}/$file"; done ;; esac\n'
            + (f'case " $* " in *" {fails} "*) {ends} ;; esac\n' if fails else "")
        )
        stand_in.chmod(0o755)
        script = project.read("docker/uv.py")
        script, count = re.subn(
            r'UV = \["/usr/local/bin/with-network", "/opt/uv/bin/uv"\]', f"UV = [{str(stand_in)!r}]", script
        )
        assert count == 1
        with_index = folder / "with-index"
        with_index.write_text('#!/bin/sh\nexport LOGIN_FOR=", with a login for $2"\nshift 2\nexec "$@"\n')
        with_index.chmod(0o755)
        script = re.sub(r"(?m)^WITH_INDEX = .*", f"WITH_INDEX = [{str(with_index)!r}]", script)
        script = script.replace("/usr/local/lib/with-index", str(project.path / "docker/with-index"))
        look = folder / "doctor"
        if doctor is not None:
            look.write_text(f'#!/bin/sh\necho "doctor $*${{PYPI_PASSWORD:+, with the password}}"\n{doctor}\n')
            look.chmod(0o755)
        self.script = folder / "uv.py"
        self.script.write_text(script.replace('"/usr/local/bin/doctor"', repr(str(look))))

    def command(self, typed: str) -> list[str]:
        """Return the command line of what is typed."""
        return [sys.executable, "-I", str(self.script), *typed.split()]

    def calls(self, typed: str, **settings: str) -> list[str]:
        """Type a command in the project's folder; return how uv and the doctor were called."""
        settings = {**PATH, "ACCELERATOR": "cpu", "SYNC_GROUP": self.group, **settings}
        done = self.project.run(*self.command(typed), **settings)
        self.code, self.stderr = done.returncode, done.stderr
        return done.stdout.splitlines()

    def add_part(self, name: str) -> None:
        """Make a workspace of the project, with a package that has no extra."""
        part = self.project.path / name
        part.mkdir(parents=True)
        (part / "pyproject.toml").write_text("[project]\n")
        with (self.project.path / "pyproject.toml").open("a") as file:
            file.write(f'[tool.uv.workspace]\nmembers = ["{name}"]\n')

    def whole(self) -> str:
        """Return the options that name all of the workspace."""
        return f"--all-packages --directory {self.project.path} --project {self.project.path}"

    def terminate(self, typed: str, when: str, by: int = signal.SIGTERM) -> None:
        """Type a command, and send it and its children a signal as soon as it starts `when`."""
        environment = {**os.environ, **PATH, "ACCELERATOR": "cpu", "PYTHONUNBUFFERED": "1"}
        options = {"cwd": self.project.path, "env": environment, "text": True, "start_new_session": True}
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(self.command(typed), **options) as process:
            for line in process.stdout:
                if line.startswith(when):
                    (os.killpg if by == signal.SIGINT else os.kill)(process.pid, by)
                    break
            self.code, self.stderr = process.wait(timeout=30), process.stderr.read()

    def files(self) -> dict[str, str]:
        """Return the two files that a change writes, as far as they are there."""
        names = ("pyproject.toml", "uv.lock")
        return {name: self.project.read(name) for name in names if (self.project.path / name).exists()}


def test_a_mirror_of_the_environment_is_used_and_not_written_into_pyproject_toml(bake, tmp_path):
    """With a private index: tests/engine/test_dependency_confusion.py."""
    project = bake()
    (project.path / "pyproject.toml").write_text(
        "[project]\nname = 'p'\nversion = '0'\nrequires-python = '>=3.10'\n"
    )
    uv = Uv(project, tmp_path)
    real = str(Path(sys.executable).with_name("uv"))
    uv.script.write_text(uv.script.read_text().replace(repr(str(tmp_path / "uv")), repr(real)))

    with package_index(tmp_path / "mirror", {"some-package": "1.0"}) as mirror:
        settings = {"PUBLIC_INDEX_URL": mirror.url, "UV_DEFAULT_INDEX": mirror.url, "TMPDIR": str(tmp_path)}
        done = project.run(*uv.command("add --no-sync some-package"), **PATH, **settings)

    assert done.returncode == 0, done.stderr
    assert '"some-package>=1.0"' in project.read("pyproject.toml")
    assert mirror.url in project.read("uv.lock")
    assert mirror.url not in project.read("pyproject.toml")
