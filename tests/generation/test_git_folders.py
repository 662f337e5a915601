"""docker/write-env.sh in the folders that people have: git worktrees, submodules, a link on the way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project. Do not change it."""
    return generate(tmp_path_factory.mktemp("original"))


@pytest.fixture
def made(original: BakedProject) -> Callable[[Path], BakedProject]:
    """made(folder): a copy of the project at this path, without .env."""
    return lambda folder: BakedProject(
        Path(shutil.copytree(original.path, folder, ignore=shutil.ignore_patterns(".env")))
    )


def git(folder: Path, *command: str) -> None:
    """Run git as a user who has a name."""
    who = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *who, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def committed(project: BakedProject) -> BakedProject:
    """Give the project a repository with a first commit."""
    git(project.path, "init", "--quiet")
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message", "first")
    return project


def test_a_branch_that_is_checked_out_brings_no_hook(made, tmp_path):
    """As docs/vscode.md turns the linters on; a hook of the branch would run on the host."""
    project = committed(made(tmp_path / "project"))
    turn_on = re.search(r"(?m)^.*docker/hooks.*$", project.read("docs/vscode.md"))[0]
    assert project.run("sh", "-c", turn_on).returncode == 0
    git(project.path, "checkout", "--quiet", "-b", "a-stranger-s")
    for name in ("post-checkout", "post-merge", "pre-commit"):
        hook = project.path / "docker/hooks" / name
        hook.write_text("#!/bin/sh\ntouch ran\n")
        hook.chmod(0o755)
    git(project.path, "add", "docker")
    git(project.path, "commit", "--quiet", "--no-verify", "--message", "hooks")
    git(project.path, "checkout", "--quiet", "-")

    git(project.path, "checkout", "--quiet", "a-stranger-s")

    assert os.access(project.path / ".git/hooks/pre-commit", os.X_OK)
    assert not (project.path / "ran").exists()


def write_env(project: BakedProject) -> str:
    """Run docker/write-env.sh with nothing chosen in the shell; return its stderr."""
    done = project.run("env", "-u", "CHECKOUT", "-u", "GIT_REPOSITORY", "sh", "docker/write-env.sh")
    assert done.returncode == 0, done.stderr
    return done.stderr


def repository(project: BakedProject) -> list[str]:
    """Return each value that .env has for GIT_REPOSITORY."""
    return re.findall(r"(?m)^GIT_REPOSITORY=(.*)$", project.read(".env"))


def test_a_worktree_s_repository_is_written_once(made, tmp_path):
    main = committed(made(tmp_path / "main"))
    git(main.path, "worktree", "add", "--quiet", "../tree")
    tree = BakedProject(tmp_path / "tree")

    for _ in range(2):
        write_env(tree)

    assert repository(tree) == [f"'{main.path}/.git'"]


def test_what_is_no_worktree_any_more_mounts_nothing(made, tmp_path):
    main = committed(made(tmp_path / "main"))
    git(main.path, "worktree", "add", "--quiet", "../tree")
    tree = BakedProject(tmp_path / "tree")
    write_env(tree)

    (tree.path / ".git").unlink()
    for _ in range(2):
        write_env(tree)

    assert repository(tree) == [f"'{main.path}/.git'", ""]


@pytest.mark.parametrize("kind", ["a repository", "a worktree", "a link", "a folder"])
def test_what_a_container_planted_mounts_no_repository_of_somebody_else(made, tmp_path, kind):
    """Else code in a container chooses which folder of the host the next one may write to."""
    project, other = made(tmp_path / "project"), committed(made(tmp_path / "other"))
    git(other.path, "worktree", "add", "--quiet", "../tree")
    (tmp_path / "private/worktrees/x").mkdir(parents=True)
    places = {
        "a repository": ".git",
        "a worktree": ".git/worktrees/tree",
        "a folder": "../private/worktrees/x",
    }
    if kind == "a link":
        (project.path / ".git").symlink_to(tmp_path / "tree/.git")
    else:
        (project.path / ".git").write_text(f"gitdir: {other.path}/{places[kind]}\n")

    write_env(project)

    assert repository(project) == []


@pytest.mark.parametrize("kind", ["a project inside", "a submodule", "a separate folder", "a link"])
def test_a_repository_that_no_container_sees_is_said_in_one_line(made, tmp_path, kind):
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet")
    if kind == "a submodule":
        inner = committed(made(tmp_path / "inner"))
        git(outer, "submodule", "--quiet", "add", str(inner.path), "project")
        project = BakedProject(outer / "project")
    else:
        project = made(outer / "project")
    if kind == "a separate folder":
        git(project.path, "init", "--quiet", f"--separate-git-dir={tmp_path}/elsewhere")
    elif kind == "a link":
        (project.path / ".git").symlink_to("../.git")

    said = [line for line in write_env(project).splitlines() if "git" in line]

    assert len(said) == 1
    assert said[0].endswith("and containers do not see it: use git on the host")
    assert repository(project) == []


def test_a_plain_checkout_says_nothing_of_git(made, tmp_path):
    project = committed(made(tmp_path / "project"))

    assert "git" not in write_env(project)
    assert repository(project) == []


def test_a_link_on_the_way_makes_no_other_project(made, tmp_path):
    project = made(tmp_path / "real/project")
    write_env(project)
    once = project.read(".env")
    (tmp_path / "link").symlink_to("real")
    linked = tmp_path / "link/project"

    for script in ("docker/write-env.sh", f"{linked}/docker/write-env.sh"):
        environment = {name: value for name, value in os.environ.items() if name != "CHECKOUT"}
        subprocess.run(["sh", script], cwd=linked, env={**environment, "PWD": str(linked)}, check=True)

    assert project.read(".env") == once


@pytest.mark.parametrize("name", ["new\nline", "a\ttab", "100%", "%zz", "50%1"])
def test_a_path_that_compose_does_not_take_is_refused_in_one_line(made, tmp_path, name):
    project = made(tmp_path / name / "project")

    done = project.run("sh", "docker/write-env.sh")

    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1
    assert "rename the folder" in done.stderr
    assert not (project.path / ".env").exists()


@pytest.mark.parametrize(
    ("link", "zone"),
    [
        ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("../usr/share/zoneinfo/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("/var/db/timezone/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Etc/UTC", ""),
        ("/usr/share/zoneinfo/UTC", ""),
        ("/usr/share/zoneinfo/A'B", ""),
        ("/elsewhere/clock", ""),
        ("", ""),
    ],
)
def test_the_time_zone_is_this_machine_s(made, tmp_path, link, zone):
    project = made(tmp_path / "project")
    (tmp_path / "readlink").write_text(f'#!/bin/sh\n[ "{link}" ] && echo "{link}"\n')
    (tmp_path / "readlink").chmod(0o755)

    for _ in range(2):
        command = ["env", "-u", "TZ", f"PATH={tmp_path}:{os.environ['PATH']}", "sh", "docker/write-env.sh"]
        assert project.run(*command).returncode == 0

    assert re.findall(r"(?m)^TZ=(.*)$", project.read(".env")) == ([zone] if zone else [])


def test_a_time_zone_that_somebody_chose_is_kept(made, tmp_path):
    project = made(tmp_path / "project")
    (project.path / ".env").write_text("TZ=Asia/Tokyo\n")

    write_env(project)

    assert project.read(".env").count("TZ=") == 1


@pytest.mark.parametrize("engines", [["podman"], ["docker", "podman"], ["docker"]], ids="+".join)
def test_the_hook_asks_the_engine_that_there_is(made, tmp_path, engines):
    project = made(tmp_path / "project")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in engines:
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (programs / name).chmod(0o755)

    done = project.run("/bin/sh", "docker/hooks/pre-commit", PATH=str(programs))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{engines[0]} compose --file compose.yaml ")
    assert done.stdout.endswith(" app pre-commit run\n")


def test_the_hook_lets_a_commit_without_this_project_pass(made, tmp_path):
    """Of a larger repository, or of a branch that is older than the project."""
    hook = made(tmp_path / "project").path / "docker/hooks/pre-commit"

    done = subprocess.run(["sh", hook], cwd=tmp_path, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (
        0,
        "pre-commit: no project of Docker here, nothing was checked\n",
    )
