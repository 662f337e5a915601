"""Compose hands .env to a build; in a container docker/with-index reads it, and must read the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import generate


@pytest.fixture(scope="module")
def with_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """What docker/with-index reads logins by, as a module."""
    project = generate(tmp_path_factory.mktemp("module"), private_index="https://pypi.example.com/simple")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project.path / "docker/with-index")
        patch.setattr(sys, "dont_write_bytecode", True)
        yield importlib.import_module("logins")
        for name in ("logins", "projects", "servers"):
            sys.modules.pop(name, None)


def compose_reads(folder: Path) -> str:
    """Return PYPI_PASSWORD as Compose has it from the .env in `folder`."""
    (folder / "compose.yaml").write_text("services: {app: {image: x}}\n")
    command = ["docker", "compose", "config", "--environment"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    values = [
        line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith("PYPI_PASSWORD=")
    ]
    return values[0] if values else ""


@pytest.mark.parametrize(
    "text",
    [
        "PYPI_PASSWORD=plain",
        "PYPI_PASSWORD='p@ss:w/o%r#d x+&?=1'",
        'PYPI_PASSWORD="two words"',
        "PYPI_PASSWORD=a#b",
        "PYPI_PASSWORD=a #b",
        "PYPI_PASSWORD='a' # b",
        "PYPI_PASSWORD= a ",
        "export PYPI_PASSWORD=a",
        "  PYPI_PASSWORD = a",
        "PYPI_PASSWORD: a",
        "PYPI_PASSWORD='a$b'",
        "PYPI_PASSWORD='a\\b'",
        "PYPI_PASSWORD=a'b",
        'PYPI_PASSWORD=a"b',
        "PYPI_PASSWORD='größe'",
        "PYPI_PASSWORD=a=b",
        "PYPI_PASSWORD=first\nPYPI_PASSWORD=second",
        "PYPI_PASSWORD=a\r\nOTHER=b",
        "PYPI_PASSWORD=",
        "PYPI_PASSWORD=''",
        "#PYPI_PASSWORD=a",
        "OTHER=a",
    ],
)
def test_the_password_in_dotenv_is_the_one_that_compose_reads(engine, with_index, tmp_path, text):
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(text.encode())

    assert with_index.setting_in(dotenv, "PYPI_PASSWORD") == compose_reads(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "PYPI_PASSWORD=a$b",
        "PYPI_PASSWORD=a\\b",
        'PYPI_PASSWORD="a\\b"',
        "PYPI_PASSWORD='it\\'s'",
        "PYPI_PASSWORD=two words",
        "PYPI_PASSWORD='a'b",
    ],
)
def test_one_that_compose_would_change_is_refused_and_not_quoted(with_index, tmp_path, text):
    dotenv = tmp_path / ".env"
    dotenv.write_text(text)

    with pytest.raises(with_index.Refusal) as refused:
        with_index.setting_in(dotenv, "PYPI_PASSWORD")

    assert "can be read in two ways: put it in single quotes" in refused.value.args[1]
    assert text.partition("=")[2].strip("'\"") not in refused.value.args[1]
