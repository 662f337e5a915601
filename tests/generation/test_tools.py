"""The commands for maintainers: on `--help`, on wrong arguments, and with the user's own files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE
from tools import demo

FOLDERS = ("benchmarks", "compatibility", "engines", "tools")
# Its packages, such as OpenCV, are not among the tools of this repository.
NOT_INSTALLED = {"tools.make_example"}
# Copied to a machine without this repository, so run as files.
AS_FILES = {"tools.gpu_check.check", "tools.release_notes"}


def commands() -> list[str]:
    """Return the modules that `python -m` runs, by their names."""
    files = {file for folder in FOLDERS for file in (TEMPLATE / folder).rglob("*.py")}
    runs = {file for file in files if re.search(r'(?m)^if __name__ == "__main__":$', file.read_text())}
    names = {".".join(file.relative_to(TEMPLATE).with_suffix("").parts) for file in runs}
    return sorted(name.removesuffix(".__main__") for name in names - NOT_INSTALLED)


def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this repository."""
    file = str(Path(*name.split("."))) + ".py"
    module = [file] if name in AS_FILES else ["-m", name]
    return subprocess.run([sys.executable, *module, *words], cwd=TEMPLATE, capture_output=True, text=True)


def tree() -> dict[str, int]:
    """Return when each page, picture and top-level file of this repository was changed."""
    files = [*TEMPLATE.glob("*"), *(TEMPLATE / "docs").iterdir(), *(TEMPLATE / "benchmarks").glob("*.md")]
    return {str(file): file.stat().st_mtime_ns for file in files if file.is_file()} | {
        str(file): 0 for file in files if file.is_dir()
    }


@pytest.mark.parametrize("name", commands())
def test_help_is_all_that_a_command_does_if_it_is_asked_for_it(name):
    before = tree()

    done = run(name, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
    assert tree() == before


def test_every_command_of_the_makefile_is_among_them():
    named = set(
        re.findall(
            r"\$\(venv\) -m ((?:benchmarks|compatibility|engines|tools)[\w.]*)",
            (TEMPLATE / "Makefile").read_text(),
        )
    )

    assert named <= set(commands())
    assert len(named) > 8


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("tools.release_notes", [], "the following arguments are required: version"),
        ("tools.release_notes", ["0.0.1"], 'release_notes: CHANGELOG.md has no text below "## 0.0.1"'),
        ("tools.gpu_check.pack", ["README.md/x"], "gpu-check: README.md/x: Not a directory"),
        (
            "tools.gpu_check.check",
            ["--report", "/nope/x.md"],
            "--report /nope/x.md: No such file or directory",
        ),
        ("tools.gpu_check.check", ["--report", "docs"], "--report docs: Is a directory"),
        ("tools.prose", ["missing.md"], "prose: missing.md: No such file or directory"),
        ("tools.prose", ["docs"], "prose: docs: Is a directory"),
        ("compatibility.docs", ["x"], "unrecognized arguments: x"),
    ],
)
def test_a_wrong_argument_is_one_line(name, words, message):
    done = run(name, *words)

    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]


def test_the_demo_leaves_the_users_last_answers_alone(tmp_path, monkeypatch):
    """`cookiecutter --replay` of docs/questions.md reads them."""
    last = tmp_path / "home/.cookiecutter_replay/capy-template.json"
    last.parent.mkdir(parents=True)
    last.write_text("mine")
    monkeypatch.setattr(demo, "PROJECT", tmp_path / "demo/my-project")
    monkeypatch.setattr(demo, "shown", str)

    demo.generate({**os.environ, "HOME": str(tmp_path / "home")})

    assert (demo.PROJECT / "compose.yaml").is_file()
    assert [file.read_text() for file in last.parent.iterdir()] == ["mine"]
