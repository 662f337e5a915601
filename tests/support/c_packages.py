"""Make packages in C, in a folder and in git, whose build needs a compiler and git."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.stand_ins import Quiet

C_EXTENSION = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "%(name)s", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_%(name)s(void) { return PyModule_Create(&module); }
"""


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[str]:
    """Return the loopback address of a git repository with a Python package in C."""
    source, served = c_package(tmp_path / "source", "fromgit"), tmp_path / "served"
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], cwd=source, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", source, served / "fromgit.git"], check=True)
    subprocess.run(["git", "update-server-info"], cwd=served / "fromgit.git", check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/fromgit.git"
        server.shutdown()


def c_package(folder: Path, name: str) -> Path:
    """Write a Python package with one module in C."""
    folder.mkdir(parents=True)
    (folder / f"{name}.c").write_text(C_EXTENSION % {"name": name})
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1"\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[[tool.setuptools.ext-modules]]\nname = "{name}"\nsources = ["{name}.c"]\n'
    )
    return folder


@pytest.fixture
def uv() -> Callable[..., None]:
    """Run this machine's uv in a project, for tasks that the runtime image cannot do."""
    program = Path(__file__).parents[2] / ".venv/bin/uv"

    def call(project: BakedProject, *words: str) -> None:
        done = project.run(str(program), *words, UV_NO_CONFIG="1")
        assert done.returncode == 0, done.stderr

    return call
