"""Projects for every combination of answers, generated once; no Docker Engine answers here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate

# A new question adds a row here.
CHOICES: dict[str, list[str | bool]] = {
    "environment": ["inference", "training", "training-ngc", "full"],
    "cuda": ["cu13-py312", "cu12-py312", "cu12-py310"],
    "private_index": ["", "https://pypi.example.com:8080/simple"],
    "private_packages": ["", "in-house-package,in-house-tool"],
    "notebook": [False, True],
    "scale_out": ["none", "ray", "ray-and-kubernetes"],
    "license": ["MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"],
    "github_actions": [True, False],
    "readme_language": ["en", "ja"],
}
# Questions that act on the same files: all their combinations, with the first answer to the others.
TOGETHER = [
    ("environment", "cuda"),
    ("license", "github_actions"),
    ("environment", "github_actions"),
    ("environment", "private_index", "private_packages"),
    ("private_index", "cuda"),
    ("private_index", "github_actions"),
    ("environment", "notebook"),
    ("environment", "scale_out"),
    ("environment", "scale_out", "readme_language"),
    ("private_index", "scale_out"),
    ("environment", "readme_language", "notebook", "private_index"),
]
# The template refuses these: compatibility/matrix.yaml says why; packages of no index.
FORBIDDEN = [
    {"environment": "training-ngc", "cuda": "cu12-py310"},
    {"private_index": "", "private_packages": "in-house-package,in-house-tool"},
]


def combinations() -> list[dict[str, str | bool]]:
    """Return the answers of every project that the tests look at, each once."""
    first = {name: answers[0] for name, answers in CHOICES.items()}
    found = {}
    for names in TOGETHER:
        for answers in itertools.product(*(CHOICES[name] for name in names)):
            combination = {**first, **dict(zip(names, answers, strict=True))}
            if not any(pair.items() <= combination.items() for pair in FORBIDDEN):
                found[tuple(combination.items())] = combination
    return list(found.values())


COMBINATIONS = combinations()


def sentence(answers: dict[str, str | bool]) -> str:
    """Return answers as a test id: `license=MIT, github_actions=no`."""
    words = {True: "yes", False: "no"}
    return ", ".join(f"{name}={words.get(value, value)}" for name, value in answers.items())


@pytest.fixture(scope="package", autouse=True)
def no_engine() -> Iterator[None]:
    """Without an engine docker/detect-accelerator.sh writes no .env: the same files everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        yield


@pytest.fixture(scope="package")
def projects(no_engine: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BakedProject]:
    """Every combination's project by its id. Do not change them."""
    folder = tmp_path_factory.mktemp("projects")
    return {sentence(answers): generate(folder / sentence(answers), **answers) for answers in COMBINATIONS}


@pytest.fixture(params=COMBINATIONS, ids=sentence)
def answers(request: pytest.FixtureRequest) -> dict[str, str | bool]:
    """One combination of answers after the other."""
    return request.param


@pytest.fixture
def project(answers: dict[str, str | bool], projects: dict[str, BakedProject]) -> BakedProject:
    """The project of these answers. Do not change it."""
    return projects[sentence(answers)]


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return what lies below `folder`: the bytes of each file, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
