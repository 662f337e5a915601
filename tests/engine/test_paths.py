"""A project in a folder of any name, as Compose reads it and as the engine mounts it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.workers import CHECKOUT

DEV = ["--file", "compose.yaml", "--file", ".devcontainer/compose.yaml"]
NAMES = [
    "two words",
    "a:b",
    "写真 é",
    "$HOME",
    "it's",
    'say "x"',
    "back\\slash",
    "it's \"$5\\",
    "#1",
    "a%20b",
    "-x",
]
DIFFICULT = ["it's 写真: \"$5\\ #1", *(pytest.param(name, marks=pytest.mark.nightly) for name in NAMES)]


@pytest.fixture
def called(built: BakedProject, tmp_path: Path) -> Callable[[str], BakedProject]:
    """called(name): a copy of the built project below a folder of that name."""
    return lambda name: BakedProject(shutil.copytree(built.path, tmp_path / name / built.path.name))


@pytest.mark.parametrize("name", DIFFICULT)
def test_a_folder_of_any_name_is_mounted(called, name):
    """A colon, for one, cannot be written in Compose's short form."""
    project = called(name)
    (project.path / "here").write_text("this one")

    script = project.run("sh", "docker/write-env.sh", CHECKOUT=CHECKOUT)
    done = project.run("docker", "compose", "run", "--rm", "app", "cat", "here", CHECKOUT=CHECKOUT)

    assert script.returncode == 0, script.stderr
    assert (done.returncode, done.stdout) == (0, "this one"), done.stderr


@pytest.mark.parametrize("name", DIFFICULT)
def test_a_worktree_s_repository_is_mounted_where_the_worktree_says_it_is(called, tmp_path, name):
    """In the dev container alone: code in `app` and `compose.guarded.yaml` does not see it."""
    project = called("tree")
    repository = tmp_path / name / ".git"
    subprocess.run(["git", "init", "--quiet", str(repository.parent)], check=True)
    (repository / "worktrees/tree").mkdir(parents=True)
    (project.path / ".git").write_text(f"gitdir: {repository}/worktrees/tree\n")
    (repository / "worktrees/tree/gitdir").write_text(f"{project.path}/.git\n")
    project.run("env", "-u", "GIT_REPOSITORY", "sh", "docker/write-env.sh")
    once = project.read(".env")

    project.run("env", "-u", "GIT_REPOSITORY", "sh", "docker/write-env.sh")
    mounts = {
        files: mounted(project, *files) for files in ((), ("--file", "compose.guarded.yaml"), tuple(DEV))
    }

    assert project.read(".env") == once
    assert (str(repository), str(repository)) in mounts[tuple(DEV)]
    for files in ((), ("--file", "compose.guarded.yaml")):
        assert mounts[files]
        assert str(repository) not in dict(mounts[files])


def mounted(project: BakedProject, *files: str) -> list[tuple[str | None, str]]:
    """Return the source and the target of each mount of `app`."""
    done = project.run("docker", "compose", *files, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    volumes = json.loads(done.stdout)["services"]["app"]["volumes"]
    # it prints what it could read again
    return [
        (mount.get("source", "").replace("$$", "$"), mount["target"].replace("$$", "$")) for mount in volumes
    ]
