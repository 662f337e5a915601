"""Share fixtures between all tests: `bake` generates a project from answers, as cookiecutter does."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pytest
import yaml
from click.testing import CliRunner
from cookiecutter.cli import main as command_line
from cookiecutter.main import cookiecutter
from packaging.requirements import Requirement

pytest.register_assert_rewrite("tests.support")
# Fixtures for all tests with Docker.
pytest_plugins = [
    "tests.support.c_packages",
    "tests.support.workers",
    "tests.support.engine",
    "tests.support.stand_ins",
    "tests.support.light_project",
    "tests.support.launchers",
    "tests.support.podman_users",
    "tests.support.lost_layer",
]


def pytest_collection_finish() -> None:
    """Collect garbage less often, and not among modules and tests: it was an eighth of tests/generation."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


TEMPLATE = Path(__file__).resolve().parent.parent
# Compose's own YAML tags.
for tag in ("!override", "!reset"):
    yaml.SafeLoader.add_constructor(
        tag,
        lambda loader, node: (
            loader.construct_mapping(node, deep=True)
            if isinstance(node, yaml.MappingNode)
            else loader.construct_sequence(node, deep=True)
        ),
    )


@dataclass(frozen=True)
class BakedProject:
    """A generated project, with methods for tests."""

    path: Path

    def files(self) -> set[str]:
        """Return the paths of all files, relative to the project, with forward slashes."""
        return {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}

    def read(self, name: str) -> str:
        """Return the text of the file `name`, with its line ends."""
        return (self.path / name).read_bytes().decode()

    def requirements(self) -> set[Requirement]:
        """Return every package in pyproject.toml."""
        data = tomllib.loads(self.read("pyproject.toml"))
        lists = [
            data["project"]["dependencies"],
            data["build-system"]["requires"],
            *data["project"]["optional-dependencies"].values(),
            *data["dependency-groups"].values(),
        ]
        return {Requirement(item) for items in lists for item in items if isinstance(item, str)}

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a host command in the project folder; `environment` adds to this process's own."""
        return subprocess.run(
            command,
            cwd=self.path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Iterator[int]:
    """Return how many workers `-n auto` has: more than CPUs, since tests wait for files and servers."""
    cpus = yield
    return cpus * 3 // 2


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a job in the background ignores it, and so would its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def cookiecutter_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use separate cookiecutter settings: the user's own neither affect the tests nor are changed."""
    with pytest.MonkeyPatch.context() as patch:
        use_cookiecutter_settings_of(tmp_path_factory.mktemp("cookiecutter"), patch)
        # it never deletes the rendered hooks
        scratch = str(tmp_path_factory.mktemp("hooks"))
        patch.setenv("TMPDIR", scratch)
        patch.setattr(tempfile, "tempdir", scratch)
        yield


@pytest.fixture(scope="session", autouse=True)
def templates_are_compiled_once() -> Iterator[None]:
    """Cache Jinja's compiled templates: compiling takes four fifths of a generation."""
    compiled: dict[tuple, object] = {}
    really = jinja2.Environment.compile

    def compile_once(self, source, *arguments, **options):
        # a lexer is shared by all environments with the same delimiters
        key = (source, *arguments, *options.items(), self.lexer, *self.extensions)
        if key not in compiled:
            compiled[key] = really(self, source, *arguments, **options)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", compile_once)
        yield


def use_cookiecutter_settings_of(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make cookiecutter, here and in child processes, keep what it stores in `folder`."""
    settings = folder / "settings.yaml"
    settings.write_text(f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/templates\n")
    patch.setenv("COOKIECUTTER_CONFIG", str(settings))


@pytest.fixture
def bake(tmp_path: Path) -> Callable[..., BakedProject]:
    """Return bake(**answers), which generates a project with these answers and default ones."""

    def make(**answers: str | bool) -> BakedProject:
        return generate(tmp_path, **answers)

    return make


def generate(folder: Path, **answers: str | bool) -> BakedProject:
    """Generate a project into `folder` with the defaults of cookiecutter.json and these answers."""
    before = dict(sys.modules)
    path = cookiecutter(str(TEMPLATE), no_input=True, extra_context=answers, output_dir=str(folder))
    sys.modules.update(before)  # the template has its own modules imported anew; the tests keep theirs
    return BakedProject(Path(path))


def run_cookiecutter(
    folder: Path, *arguments: str, typed: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter as a user does, in `folder`; `environment` adds to this process's own.

    `typed` answers its questions; without it, cookiecutter asks none.
    """
    quiet = ["--no-input"] if typed is None else []
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", *quiet, str(TEMPLATE), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        input=typed,
        capture_output=True,
        text=True,
    )


def run_cookiecutter_here(folder: Path, option: str, *answers: str) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter in this process, with click's runner: a start of Python takes 0.3 s.

    The output has no output of hooks, but the traceback of an unexpected error.
    """
    before = dict(sys.modules)
    with contextlib.chdir(folder):
        done = CliRunner().invoke(command_line, [option, str(TEMPLATE), *answers])
    sys.modules.update(before)
    unexpected = done.exc_info[0] is not SystemExit and done.exit_code
    error = "".join(traceback.format_exception(*done.exc_info)) if unexpected else ""
    return subprocess.CompletedProcess(answers, done.exit_code, done.stdout, done.stderr + error)
