"""Measure the generation of a project."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measuring import Rounds, seconds
from benchmarks.results import FLOOR, PRODUCT, Goal, Row
from benchmarks.subjects import TEMPLATE, Subjects


def generation(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Compare the template with default answers with a template of one empty folder."""
    empty = subjects.folder / "empty-template"
    (empty / "{{cookiecutter.project}}").mkdir(parents=True)
    (empty / "cookiecutter.json").write_text(json.dumps({"project": "my-project"}))
    ways = {
        PRODUCT: partial(generate, TEMPLATE, subjects),
        FLOOR: partial(generate, empty, subjects),
    }
    yield Row("generation", "s", rounds.in_turn("generation", ways), (Goal(1.3, FLOOR),))


def generate(template: Path, subjects: Subjects) -> float:
    """Return how long cookiecutter takes for a template with its default answers."""
    folder = subjects.folder / "generated"
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--output-dir", str(folder), str(template)]
    taken = seconds(command, env=subjects.environment)
    shutil.rmtree(folder)
    return taken
