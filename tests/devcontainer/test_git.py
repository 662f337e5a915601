"""git and its hook, on the host and in the container: in a worktree, and in a larger repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.devcontainer.conftest import DevContainer, HostUser, clone, close, devcontainer, opened, up

FILES = ["--file", "compose.yaml", "--file", ".devcontainer/compose.yaml"]
UGLY = "x=  1\n"
# As docs/vscode.md of the project says.
TURN_ON = 'cp docker/hooks/pre-commit "$(git rev-parse --git-path hooks)/"'


def git(user: HostUser, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run git on the host."""
    return user.run("git", *command, folder=folder)


def commit_all(user: HostUser, project: BakedProject) -> None:
    """Make the folder a repository that has all of it, by somebody with a name."""
    user.own(BakedProject(project.path.parent))
    for command in (
        ["init", "--quiet"],
        ["config", "user.name", "me"],
        ["config", "user.email", "me@example.com"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "first"],
    ):
        done = git(user, project.path, *command)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tree(user: HostUser) -> Iterator[DevContainer]:
    """A worktree beside its repository, in a folder with a difficult name, opened by the client."""
    main = clone(user.home / "it's 写真", "capy-dev")
    commit_all(user, main)
    done = git(user, main.path, "worktree", "add", "--quiet", "../capy-dev-tree")
    assert done.returncode == 0, done.stderr
    with opened(user, BakedProject(main.path.parent / "capy-dev-tree")) as container:
        yield container


def test_a_commit_from_the_container_of_a_worktree_is_in_the_repository(tree):
    assert tree.execute("git", "rev-parse", "--show-toplevel") == "/code"
    assert tree.execute("git", "status", "--porcelain", "--untracked-files=no") == ""

    tree.execute("sh", "-c", "touch made && git add made && git commit --quiet --message 'by the container'")

    log = git(tree.user, tree.project.path, "log", "-1", "--format=%s")
    assert log.stdout == "by the container\n"
    status = git(tree.user, tree.project.path, "status", "--porcelain", "--untracked-files=no")
    assert (status.returncode, status.stdout) == (0, "")


def test_the_other_worktrees_are_not_forgotten_by_a_container_that_does_not_see_them(tree):
    """`git gc` drops what it holds for a folder that it does not find, after three months."""
    assert tree.execute("git", "config", "gc.worktreePruneExpire") == "never"
    assert tree.execute("git", "worktree", "list").count("\n") == 1


@pytest.mark.parametrize(
    ("side", "options"),
    [
        pytest.param("host", ["--all"], id="host, --all"),
        pytest.param("container", [], id="container"),
        pytest.param("host", [], id="host", marks=pytest.mark.nightly),
        pytest.param("container", ["--all"], id="container, --all", marks=pytest.mark.nightly),
    ],
)
def test_the_hook_checks_commits_on_either_side(tree, side, options):
    """With `--all`, git has the files in an index of the commit's own."""
    copied = tree.user.run("sh", "-c", TURN_ON, folder=tree.project.path)
    assert copied.returncode == 0, copied.stderr
    script = tree.project.path / "script.py"
    before = script.read_text()
    script.write_text(before + UGLY)
    if not options:
        git(tree.user, tree.project.path, "add", "script.py")

    refused = commit(tree, side, *options)
    git(tree.user, tree.project.path, "checkout", "--quiet", "HEAD", "script.py")
    script.write_text(f"{before}# {side} {options}\n")
    git(tree.user, tree.project.path, "add", "script.py")
    taken = commit(tree, side, *options)

    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "files were modified by this hook" in refused.stdout + refused.stderr
    assert taken.returncode == 0, taken.stdout + taken.stderr


def commit(tree: DevContainer, side: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Commit on the host, or in the dev container."""
    command = ["git", "commit", "--message", "a change", *options]
    if side == "container":
        return tree.devcontainer("exec", *command)
    return tree.user.run(*command, folder=tree.project.path)


def lint(tree: DevContainer, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run every linter as the README says, in a folder for which the worktree's image does."""
    checkout = tree.project.read(".env").partition("CHECKOUT=")[2].split()[0]
    settings = ["env", f"CHECKOUT={checkout}", "ACCELERATOR=cpu"]
    command = ["docker", "compose", *FILES, "run", "--rm", "app", "pre-commit", "run", "--all-files"]
    return tree.user.run(*settings, *command, folder=folder)


def verdicts(output: str) -> set[str]:
    """Return what the linters came to; one without a file to check was skipped."""
    return set(re.findall(r"(?m)^.+\.(Passed|Failed|Skipped)$", output))


def test_every_linter_runs_in_a_worktree(tree):
    done = lint(tree, tree.project.path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert verdicts(done.stdout) == {"Passed"}, done.stdout
    assert "entrypoint:" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "kind",
    [
        "a submodule",
        pytest.param("inside a larger repository", marks=pytest.mark.nightly),
        pytest.param("no repository", marks=pytest.mark.nightly),
    ],
)
def test_every_linter_runs_where_git_sees_no_repository(tree, tmp_path_factory, kind):
    folder = tree.user.home / kind / "capy-dev"
    shutil.copytree(tree.project.path, folder, ignore=shutil.ignore_patterns(".git", ".env", "data"))
    if kind == "a submodule":
        (folder / ".git").write_text("gitdir: ../.git/modules/capy-dev\n")
    elif kind == "inside a larger repository":
        (folder.parent / ".git").mkdir()
    (folder / "ugly.py").write_text(UGLY)
    tree.user.own(BakedProject(folder.parent))

    first = lint(tree, folder)
    second = lint(tree, folder)

    said = "entrypoint: git finds no repository in the container"
    assert (first.returncode, second.returncode) == (1, 0), first.stdout + second.stdout + second.stderr
    assert "Fixing" in first.stdout or "1 file reformatted" in first.stdout
    assert (first.stdout + first.stderr).count(said) == 1
    assert verdicts(second.stdout) == {"Passed"}, second.stdout
    assert (folder / "ugly.py").read_text() == "x = 1\n"
    assert not (folder / ".git/objects").exists()


def test_a_folder_with_a_dollar_is_named_as_what_the_client_cannot_open(user):
    """Its own reading of the Compose files has each one twice."""
    project = clone(user.home / "$HOME", "capy-dev")
    user.own(project)

    done = devcontainer(user, project, "up")

    assert done.returncode == 1
    assert "write-env: VS Code opens no dev container in a folder with a $ in its path" in done.stderr


@pytest.mark.nightly
def test_a_link_on_the_way_opens_the_same_container(user):
    project = clone(user.home / "real", "capy-dev")
    link = user.home / "link"
    link.symlink_to("real")
    user.own(project)
    try:
        first = up(user, BakedProject(link / "capy-dev"))
        settings = project.read(".env")
        second = up(user, project)

        assert first.started["containerId"] == second.started["containerId"]
        assert project.read(".env") == settings
    finally:
        close(project)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", ["two words", "a:b", "写真", "it's", 'say "x"', "back\\slash", "a%20b", "#1"]
)
def test_a_folder_of_any_name_opens(user, name):
    project = clone(user.home / name, "capy-dev")

    with opened(user, project) as dev:
        dev.execute("touch", "/code/made")

    assert (project.path / "made").exists()
