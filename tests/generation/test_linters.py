"""Linters read what the template becomes, for every combination of answers.

Each is shown to work, too: one fault is put into a copy, and the linter must name it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, BakedProject, generate
from tests.generation.conftest import COMBINATIONS, EACH_PAIR, sentence

PROGRAMS = Path(sysconfig.get_path("scripts"))
SCHEMA = [sys.executable, "-m", "check_jsonschema"]
RUFF = [sys.executable, "-m", "ruff"]
WORKFLOW = next((TEMPLATE / "{{checked(cookiecutter.project)}}/.github/workflows").iterdir()).read_text()
PIN = re.search(r"@[0-9a-f]{40} # v[\d.]+", WORKFLOW)[0]


@dataclass(frozen=True)
class Linter:
    """A command, the files of a project that it reads, and a fault that it must find in them."""

    command: list[str | Path]
    files: list[str]  # globs
    spoil: tuple[str, str]  # a word of the first file and what takes its place; "" is its end
    complaint: str
    has_settings: bool = False  # in the project

    def run(self, *projects: BakedProject) -> subprocess.CompletedProcess[str]:
        """Lint all files of these projects in one go."""
        paths: dict[object, Path] = {}
        for project in projects:
            for pattern in self.files:
                for path in sorted(project.path.glob(pattern)):
                    # projects share most of their files, and a linter without settings says the same again
                    key = path if self.has_settings else (path.name, path.read_bytes())
                    paths.setdefault(key, path)
        assert paths, f"there is no {self.files} to lint"
        return subprocess.run([*self.command, *paths.values()], capture_output=True, text=True)


LINTERS = {
    "hadolint on the Dockerfile": Linter(
        [PROGRAMS / "hadolint", "--no-color"],
        ["docker/Dockerfile"],
        ("", "RUN cd /tmp\n"),
        "DL3003",
    ),
    "shellcheck on every script": Linter(
        [PROGRAMS / "shellcheck", "--color=never"],
        ["docker/*.sh", "docker/hooks/*", ".devcontainer/*.sh"],
        ("", "rm $1\n"),
        "SC2086",
    ),
    "ruff check on the Python code": Linter(
        [*RUFF, "check", "--no-cache"],
        ["**/*.py"],
        ("", "undefined\n"),
        "F821",
        has_settings=True,
    ),
    "ruff format on the Python code": Linter(
        [*RUFF, "format", "--no-cache", "--check"],
        ["**/*.py"],
        ("", "x  =  1\n"),
        "would be reformatted",
        has_settings=True,
    ),
    "the Compose schema": Linter(
        [*SCHEMA, "--builtin-schema", "vendor.compose-spec"],
        # not docker/podman.yaml: the checker cannot read its tag, Compose's own
        [
            *("compose.yaml", "compose.project.yaml", "compose.ray*.yaml"),
            *("docker/accelerator-*.yaml", "docker/machine.yaml", "docker/ray.yaml"),
            ".devcontainer/compose.yaml",
        ],
        ("    volumes:", "    volume:"),
        "'volume' was unexpected",
    ),
    "the schema of a GPU reservation": Linter(
        [*SCHEMA, "--builtin-schema", "vendor.compose-spec"],
        ["docker/accelerator-nvidia.yaml", "docker/accelerator-cdi.yaml"],
        ("capabilities: [gpu]", "options: {}"),
        "'capabilities' is a required property",
    ),
    "the GitHub workflow schema": Linter(
        [*SCHEMA, "--builtin-schema", "vendor.github-workflows"],
        [".github/workflows/*.yaml"],
        ("runs-on:", "run-on:"),
        "'run-on'",
    ),
    "zizmor on the workflow": Linter(
        [PROGRAMS / "zizmor", "--offline", "--no-progress", "--quiet"],
        [".github/workflows/*.yaml"],
        (PIN, "@v5"),
        "unpinned-uses",
    ),
    "our schema of devcontainer.json": Linter(
        [
            *SCHEMA,
            "--schemafile",
            TEMPLATE / "tests/support/devcontainer.schema.json",
        ],
        [".devcontainer/devcontainer.json"],
        ('"overrideCommand": false', '"runArgs": []'),
        "'runArgs' was unexpected",
    ),
}


@pytest.fixture(params=LINTERS.values(), ids=LINTERS)
def linter(request: pytest.FixtureRequest) -> Linter:
    """One linter after the other."""
    return request.param


@pytest.fixture
def spoilt(projects, tmp_path: Path):
    """spoilt(file, old, new): a copy of a project in which one word of one file is another."""

    def spoil(pattern: str, old: str, new: str) -> BakedProject:
        origin = next(project for project in projects.values() if any(project.path.glob(pattern)))
        copy = BakedProject(Path(shutil.copytree(origin.path, tmp_path / "spoilt")))
        file = min(copy.path.glob(pattern))
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1) if old else text + new)
        return copy

    return spoil


@pytest.mark.parametrize(
    "which",
    [
        pytest.param(EACH_PAIR, id="two answers at a time"),
        pytest.param(COMBINATIONS, id="all", marks=pytest.mark.nightly),
    ],
)
def test_every_project_passes(linter, projects, which):
    done = linter.run(*(projects[sentence(answers)] for answers in which))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def named(no_engine, tmp_path_factory: pytest.TempPathFactory) -> list[BakedProject]:
    """Projects with the shortest and the longest name. Do not change them."""
    folder = tmp_path_factory.mktemp("named")
    return [generate(folder, project=name, scale_out="ray-and-kubernetes") for name in ("a", "z" * 50)]


def test_the_shortest_and_the_longest_name_change_nothing(linter, named):
    """Lines grow with the name, and imports are sorted by it."""
    done = linter.run(*named)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fault_is_found_by(linter, spoilt):
    project = spoilt(linter.files[0], *linter.spoil)

    done = linter.run(project)

    assert done.returncode != 0
    assert linter.complaint in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param('"service": "app",', "", "'service' is a required", id="no service"),
        pytest.param('"remoteUser": "app",', "", "'remoteUser' is a required", id="no user"),
        pytest.param('"remoteUser": "app"', '"remoteUser": "root"', "remoteUser", id="root"),
        pytest.param('"remoteUser"', '"remoteuser"', "'remoteuser' was unex", id="a wrong letter"),
        pytest.param('"../compose.yaml", ', "", "'../compose.yaml' was expected", id="no own file"),
        pytest.param('"/code"', '"code"', "'code' does not match", id="a relative folder"),
        pytest.param('ID": true', 'ID": false', "True was expected", id="no update of the ids"),
        pytest.param('"ms-python.python",', '"python",', "extensions", id="half an extension"),
    ],
)
def test_our_schema_of_devcontainer_json_refuses(spoilt, old, new, complaint):
    linter = LINTERS["our schema of devcontainer.json"]
    project = spoilt(linter.files[0], old, new)

    done = linter.run(project)

    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["workspace", "change", "settings"])
def test_a_project_may_have_the_name_of_a_module_in_docker(bake, name):
    """Ruff would sort the import of that name as the project's own, and the others as a library's."""
    project = bake(project=name, private_index="https://pypi.example.com/simple")

    done = project.run(*RUFF, "check", "docker")

    assert done.returncode == 0, done.stdout
