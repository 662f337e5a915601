"""A checkout with the line ends of Windows: git makes none, and one that a tool made all the same works."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import BakedProject, generate
from tests.support.light_project import SCRIPT, empty

RUN = ["docker", "compose", "run", "--rm", "app"]


def test_git_leaves_the_line_ends_alone_on_windows(tmp_path):
    """.gitattributes outweighs what an installer of git sets there."""
    project = commit(generate(tmp_path / "made", project="capy-copy"))
    windows = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "clone", "--quiet"]
    subprocess.run([*windows, str(project.path), str(tmp_path / "clone")], check=True)

    clone = BakedProject(tmp_path / "clone")

    assert "compose.yaml" in clone.files()
    files = {name for name in clone.files() if not name.startswith(".git/")}
    assert [name for name in files if "\r" in text_of(clone, name)] == []


@pytest.mark.parametrize("packages", ["none", pytest.param("its own", marks=pytest.mark.nightly)])
def test_a_checkout_that_was_converted_builds_and_runs(base, tmp_path, packages):
    project = generate(tmp_path, project="capy-copy")
    if packages == "none":
        empty(project)
        (project.path / "script.py").write_text(SCRIPT)
    commit(project)
    for name in subprocess.run(
        ["git", "grep", "-Il", ""], cwd=project.path, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        path = project.path / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    (project.path / ".env").write_bytes(b"ACCELERATOR=cpu\r\nUSER_ID=\r\n")
    assert "\r\n" in project.read("docker/entrypoint.sh")

    tests = "doctor" if packages == "none" else "pytest"
    done = {
        command: project.run("docker", "compose", *command.split())
        for command in ("build", "run --rm app script.py", f"run --rm app {tests}", "run --rm app uv lock")
    }

    assert {name: run.returncode for name, run in done.items()} == dict.fromkeys(done, 0), done
    made = "made" if packages == "none" else "outputs/example-edges.png"
    assert (project.path / made).stat().st_uid == project.path.stat().st_uid


def commit(project: BakedProject) -> BakedProject:
    """Put the project under version control."""
    identity = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "First"]):
        subprocess.run([*identity, *command], cwd=project.path, check=True)
    return project


def text_of(project: BakedProject, name: str) -> str:
    """Return the text of a file, nothing of one that has none."""
    data = (project.path / name).read_bytes()
    return "" if b"\0" in data else data.decode(errors="replace")
