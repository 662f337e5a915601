"""docker/write-env.sh: each checkout and each user has a number, and what .env holds already stays."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess

import pytest

from tests.conftest import BakedProject, generate


def number(project: BakedProject) -> str:
    """Run the script in a project and return the number that Compose would take: the last one."""
    done = project.run("sh", "docker/write-env.sh")
    assert done.returncode == 0, done.stderr
    return re.findall(r"(?m)^CHECKOUT=(-\d+)$", project.read(".env"))[-1]


def test_a_copy_of_the_folder_gets_a_number_of_its_own(bake, tmp_path):
    project = bake()
    copy = BakedProject(shutil.copytree(project.path, tmp_path / "copy"))

    assert copy.read(".env") == project.read(".env")
    assert number(copy) != number(project)


@pytest.mark.parametrize("accelerator", ["nvidia", "cdi", "cpu"])
@pytest.mark.parametrize("zone", ["", "TZ=Asia/Tokyo\n"])
def test_a_copy_is_told_what_is_kept_from_the_other_machine(bake, tmp_path, accelerator, zone):
    project = bake()
    (project.path / ".env").write_text(f"CHECKOUT=-1\nBUILD_CACHE=x\n{zone}ACCELERATOR={accelerator}\n")
    (tmp_path / "readlink").write_text("#!/bin/sh\necho /usr/share/zoneinfo/Asia/Tokyo\n")
    (tmp_path / "readlink").chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"

    done, again = (project.run("env", "--unset=TZ", "sh", "docker/write-env.sh", PATH=path) for _ in range(2))

    kept = f"ACCELERATOR={accelerator}" + (" and TZ=Asia/Tokyo" if zone else "")
    assert done.stderr == (
        f"write-env: .env is from another folder or user and keeps {kept}. "
        "If that is wrong here, remove it, then: sh docker/write-env.sh\n"
    )
    assert again.stderr == ""


@pytest.mark.parametrize("env", [None, "CHECKOUT=mine\nACCELERATOR=cpu\n", "ACCELERATOR=cpu\n"])
def test_where_no_other_folder_wrote_the_file_nothing_is_told_of_a_copy(bake, env):
    """A clone has no .env; a name of one's own is no other folder's."""
    project = bake()
    (project.path / ".env").unlink()
    if env:
        (project.path / ".env").write_text(env)

    assert "another folder" not in project.run("sh", "docker/write-env.sh").stderr


def test_another_user_of_the_same_folder_gets_another_number(bake, tmp_path):
    project = bake()
    mine = number(project)
    (tmp_path / "id").write_text("#!/bin/sh\necho 4321\n")
    (tmp_path / "id").chmod(0o755)

    project.run("sh", "docker/write-env.sh", PATH=f"{tmp_path}:/usr/bin:/bin")

    assert re.findall(r"(?m)^CHECKOUT=(-\d+)$", project.read(".env"))[-1] != mine


@pytest.mark.parametrize("before", ["", "GPU_IDS=1\n", "GPU_IDS=1", "CHECKOUT=5\nUSER_ID=7\n"])
def test_what_else_the_file_holds_is_kept(bake, before):
    project = bake()
    (project.path / ".env").write_text(before)

    first = number(project)
    after = project.read(".env")

    assert after.startswith(before)
    assert number(project) == first
    assert project.read(".env") == after


@pytest.mark.parametrize(
    "line", ["CHECKOUT=mine", "CHECKOUT=-team-2", "export CHECKOUT = mine", "TZ=", "export TZ=UTC"]
)
def test_what_somebody_has_chosen_is_kept(bake, tmp_path, line):
    """A file that machines share has one name for all."""
    project = bake()
    (project.path / ".env").write_text(f"{line}\nBUILD_CACHE=x\nACCELERATOR=cpu\n")
    (tmp_path / "readlink").write_text("#!/bin/sh\necho /usr/share/zoneinfo/Asia/Tokyo\n")
    (tmp_path / "readlink").chmod(0o755)
    name = re.search(r"(CHECKOUT|TZ)", line)[1]

    done = project.run("env", "--unset=TZ", "sh", "docker/write-env.sh", PATH=f"{tmp_path}:/usr/bin:/bin")

    assert done.returncode == 0, done.stderr
    assert project.read(".env").count(name) == 1
    assert ("TZ=Asia/Tokyo" in project.read(".env")) == (name == "CHECKOUT")


def test_without_an_engine_the_number_is_there_all_the_same(bake):
    project = bake()
    (project.path / ".env").unlink()

    done = project.run("sh", "docker/write-env.sh", TZ="")

    assert "neither Docker nor Podman answers" in done.stderr
    assert re.fullmatch(r"CHECKOUT=-\d+\nBUILD_CACHE=[0-9a-f]{24}\n", project.read(".env"))


def test_no_two_checkouts_can_guess_each_other_s_cache_of_builds(bake):
    caches = {re.search(r"BUILD_CACHE=(\w+)", bake(project=name).read(".env"))[1] for name in ("one", "two")}

    assert len(caches) == 2


def test_the_name_of_the_cache_of_builds_is_drawn_and_not_derived_from_the_folder(bake):
    project = bake()
    first = project.read(".env")
    (project.path / ".env").unlink()

    number(project)

    names = {re.search(r"BUILD_CACHE=(\w+)", text)[1] for text in (first, project.read(".env"))}
    assert len(names) == 2


def test_a_cache_of_builds_that_somebody_chose_is_kept(bake):
    project = bake()
    (project.path / ".env").write_text("BUILD_CACHE=team\n")
    number(project)
    (project.path / "other").mkdir()

    assert project.read(".env").count("BUILD_CACHE") == 1
    (project.path / ".env").unlink()
    project.run("sh", "docker/write-env.sh", BUILD_CACHE="team")
    assert "BUILD_CACHE" not in project.read(".env")


def test_only_its_owner_may_read_the_file_which_may_get_a_password(bake):
    project = bake()
    path = project.path / ".env"
    made = stat.S_IMODE(path.stat().st_mode)

    path.write_text("GPU_IDS=1\n")
    path.chmod(0o640)
    number(project)

    assert made == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


# What the client says where it may not read its folder: it lists Compose, and does not run it.
HIDDEN = """#!/bin/sh
case $1 in
    info) echo '{"ClientInfo":{"Plugins":[{"Name":"compose"}]}}' ;;
    *) echo 'unknown flag: --short' >&2; exit 125 ;;
esac
"""


@pytest.mark.parametrize("closed", [".docker", ".docker/cli-plugins"])
@pytest.mark.parametrize("setting", ["HOME", "DOCKER_CONFIG"])
def test_a_docker_folder_of_root_s_is_named_with_what_to_type(open_folder, closed, setting):
    """After `sudo docker …` with the user's HOME; Compose seems to be missing then."""
    project = generate(open_folder)
    (project.path / ".env").unlink()
    home, programs = open_folder / "home", open_folder / "programs"
    for folder in (home / ".docker/cli-plugins", programs):
        folder.mkdir(parents=True)
    (programs / "docker").write_text(HIDDEN)
    (programs / "docker").chmod(0o755)
    (home / closed).chmod(0)
    other = []  # root may read everything
    if os.getuid() == 0:
        os.chown(project.path, 1234, 1234)
        other = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups"]
    settings = {"HOME": str(home), "DOCKER_CONFIG": str(home / ".docker")}
    if setting == "HOME":
        del settings["DOCKER_CONFIG"]

    done = subprocess.run(
        [*other, "sh", "docker/write-env.sh"],
        cwd=project.path,
        env={"PATH": f"{programs}:/usr/bin:/bin", **settings},
        capture_output=True,
        text=True,
    )

    (home / closed).chmod(0o700)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()[0]
    assert f"no permission to read {home / closed}" in said
    assert f'sudo chown -R "$(id -u)" {home / ".docker"}' in said
    assert "install" not in done.stderr
    assert "ACCELERATOR=cpu" in project.read(".env")


@pytest.mark.parametrize("kind", ["a link", "a link to nothing", "a pipe", "a folder"])
def test_what_a_container_puts_in_the_place_of_the_file_is_not_written_to(bake, tmp_path, kind):
    """Else a script in a container chooses which file on the host is written to."""
    project, target = bake(), tmp_path / "profile"
    path = project.path / ".env"
    path.unlink()
    if "link" in kind:
        path.symlink_to(target)
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    if kind == "a link":
        target.write_text("mine\n")

    done = project.run("timeout", "20", "sh", "docker/write-env.sh")

    assert done.returncode == 64
    assert done.stderr.startswith("write-env: .env is a symlink or no file")
    assert len(done.stderr.splitlines()) == 1
    assert (target.read_text() if target.exists() else "") == ("mine\n" if kind == "a link" else "")


def test_a_folder_that_temporary_renderings_use_makes_no_difference_between_them(bake, tmp_path, monkeypatch):
    """cruft compares two renderings in temporary folders; a number in them would be a change to each .env."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    project = bake()

    assert not (project.path / ".env").exists()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(bake):
    project = bake()
    (project.path / ".env").unlink()
    (project.path / ".env").symlink_to("missing/.env")

    done = subprocess.run(["sh", "docker/write-env.sh"], cwd=project.path, capture_output=True, text=True)

    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert ".env" in done.stderr
