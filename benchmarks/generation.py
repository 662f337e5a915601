"""Measure the generation of a project beside three public templates for Python projects.

Other templates are repositories alone: a package index has no copy of them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measuring import NotMeasured, Rounds, output, seconds
from benchmarks.results import OTHER, PRODUCT, Row
from benchmarks.subjects import TEMPLATE, Subjects
from engines.steps import EngineError

PYPACKAGE = "cookiecutter-pypackage==0.5.0"
PROGRAMS = ("pyscaffold==4.6", "pyscaffoldext-dsproject==0.7.2", "kedro==1.7.0")
# PyScaffold commits what it makes; Kedro would send statistics.
SETTINGS = {
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "bench"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "bench@localhost"),
    "DO_NOT_TRACK": "1",
}


def generation(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Compare templates with their default answers. Raises NotMeasured if the index lacks the others."""
    product = partial(generate, cookiecutter(TEMPLATE), subjects)
    for name, command in others(subjects.folder / "generators").items():
        title = f"generation; other: {name}"
        ways = {PRODUCT: product, OTHER: partial(generate, command, subjects)}
        yield Row(title, "s", rounds.in_turn(title, ways))


def others(folder: Path) -> dict[str, list[str]]:
    """Install the other templates; return what makes a project in the current folder, by name."""
    python = folder / "bin/python"
    uv = [sys.executable, "-m", "uv"]
    target = folder / "pypackage"
    install = [*uv, "pip", "install", "--quiet"]
    try:
        output([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        output([*install, "--python", str(python), *PROGRAMS])
        # a folder of templates, for any Python that has Cookiecutter
        output([*install, "--no-deps", "--python-version", "3.12", "--target", str(target), PYPACKAGE])
    except EngineError as error:
        raise NotMeasured(str(error)) from error
    return {
        "cookiecutter-pypackage": cookiecutter(target / "cookiecutter_pypackage/template"),
        "PyScaffold for data science": [str(folder / "bin/putup"), "--dsproject", "project"],
        "Kedro": [
            *(str(folder / "bin/kedro"), "new", "--name", "project"),
            *("--tools", "none", "--example", "n", "--telemetry", "no"),
        ],
    }


def cookiecutter(template: Path) -> list[str]:
    """Return the command that makes a project of a template of Cookiecutter's."""
    return [sys.executable, "-m", "cookiecutter", "--no-input", str(template)]


def generate(command: list[str], subjects: Subjects) -> float:
    """Return how long a command takes to make a project."""
    folder = subjects.folder / "generated"
    folder.mkdir()
    environment = {**subjects.environment, **SETTINGS}
    environment["PATH"] = f"{Path(command[0]).parent}:{environment['PATH']}"  # putup starts its own Python
    taken = seconds(command, cwd=folder, env=environment)
    if not any(folder.iterdir()):
        raise EngineError(f"{command[0]} made no project")
    shutil.rmtree(folder)
    return taken
