"""Thousands of hostile answers: each is refused, and nothing is on disk, or gives a sound project.

They come in each way that cookiecutter has: on its command line, in a configuration file, in a replay file.
The cases are the same in each run (hypothesis derives them from the test), so a failure can be repeated.
Each project is read against Compose's own schema, and some of them by Compose.
"""

from __future__ import annotations

import ast
import functools
import json
import keyword
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from cookiecutter.config import get_user_config
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from capy_template.answers import reserved_names
from tests.conftest import TEMPLATE
from tests.generation.conftest import CHOICES
from tests.support.workers import report

FRAGMENTS = [
    *("'", '"', "\\", "\n", "\r", "\t", "\0", "\x1b[31m", "`", "$", "${HOME}", "$(touch pwned)"),
    *("`touch pwned`", "; touch pwned;", "| touch pwned", "&& touch pwned", "%", "%s", "#", "!", "*", "~"),
    *("{{", "}}", "{%", "{#", "{{ 7 * 7 }}", "{{ cookiecutter }}", "{% raw %}"),
    "{{ cycler.__init__.__globals__.os.system('touch pwned') }}",
    '"); __import__("os").system("touch pwned"); ("',
    *("../", "/", "..", ".", "/etc/passwd", "~root", "C:\\", "\\\\server\\share", "file://"),
    *(": ", "- ", "? ", "&a", "*a", "!!python/object:os.system", "]]", "[tool]", '"""', "'''", "= 1"),
    *("FROM scratch", "RUN touch pwned", "ARG ", "# syntax=", "\nRUN touch pwned\n", "<<EOF"),
    *("\u202e", "\u200b", "\ufeff", "\u2028", "ä", "项目", "😀", "\u0131", "\u212a", "٣", "א"),
    *("a", "my", "net", "1", "-", "_", "--", "@", ",", " ", "http://", "https://", ":8080", "/simple", "?q="),
]
RESERVED = [
    *("con", "prn", "aux", "nul", "com1", "lpt1", "CON", "nul.txt", "conin$"),
    *keyword.kwlist,
    *sorted(sys.stdlib_module_names),
    *sorted(reserved_names()),
]
GOOD_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}([-_][a-z0-9]{1,8}){0,3}", fullmatch=True)
HOSTS = st.from_regex(r"[a-z][a-z0-9-]{0,8}(\.[a-z]{2,5}){0,2}(:[0-9]{1,6})?", fullmatch=True)
GOOD_URLS = st.builds("https://{}/simple".format, HOSTS)

pieces = st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8))
nasty = st.one_of(
    st.lists(pieces, max_size=8).map("".join),
    st.text(max_size=30),
    st.sampled_from(RESERVED),
    st.sampled_from(["a", "ä", "x-", '"', "{{", "https://a/"]).map(
        lambda piece: piece * (10_000 // len(piece))
    ),
)


def spoiled(good: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return hostile answers, and good ones with something put into them (which some survive)."""
    inside = st.builds(
        lambda text, at, piece: text[:at] + piece + text[at:], good, st.integers(0, 12), pieces
    )
    return st.one_of(nasty, nasty, inside)


QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
HIDDEN = [name for name in QUESTIONS if name.startswith("_") and name not in ("_extensions", "__prompts__")]
not_text = st.none() | st.booleans() | st.integers() | st.lists(nasty, max_size=2) | st.just({"a": "b"})
WAYS = ("command line", "configuration file", "replay file")
ANSWERS = {
    "project": (800, st.fixed_dictionaries({"project": spoiled(GOOD_NAMES)})),
    "private_index": (450, st.fixed_dictionaries({"private_index": spoiled(GOOD_URLS)})),
    "private_packages": (
        400,
        st.fixed_dictionaries(
            {
                "private_index": GOOD_URLS,
                "private_packages": st.lists(spoiled(GOOD_NAMES), max_size=3).map(",".join),
            }
        ),
    ),
    "a choice": (
        150,
        st.sampled_from(
            [name for name in CHOICES if len(CHOICES[name]) > 1 and not name.startswith("private")]
        ).flatmap(lambda name: st.fixed_dictionaries({name: nasty | st.sampled_from(CHOICES[name])})),
    ),
    "a hidden answer": (
        350,
        st.sampled_from(HIDDEN).flatmap(
            lambda name: st.fixed_dictionaries({name: nasty | spoiled(GOOD_NAMES)})
        ),
    ),
    "an answer that is no text": (
        100,
        st.sampled_from([*CHOICES, "project", *HIDDEN]).flatmap(
            lambda name: st.fixed_dictionaries({name: not_text})
        ),
    ),
}
COMPOSE_FILES = ("compose*.yaml", "docker/*.yaml", ".devcontainer/compose.yaml")
# UndefinedError: an answer that is a dict is not there yet when a hidden answer asks for it.
COOKIECUTTERS_OWN = (ValueError, TypeError, AttributeError, IndexError, UndefinedError)
BY_COMPOSE = 10  # every tenth project, since Compose takes 0.1 s for each


@pytest.fixture(scope="module")
def counts(pytestconfig: pytest.Config) -> Iterator[Counter]:
    """How many cases were refused and generated, said in the summary."""
    found: Counter = Counter()
    yield found
    report(pytestconfig, f"hostile answers: {found.total()} tried, {dict(found)}, every other one: a failure")


@pytest.mark.parametrize("question", ANSWERS)
@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.nightly)], ids=["a tenth", "all"])
def test_a_hostile_answer_is_refused_or_harmless(
    engine, question, share, counts, replay, tmp_path, monkeypatch
):
    number, answers = ANSWERS[question]
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    @settings(
        max_examples=number // share,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(answers, st.sampled_from(WAYS))
    def try_them(given_answers: dict[str, Any], way: str) -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        try:
            project = made(folder, given_answers, way, replay)
        except FailedHookException as refused:
            assert len(str(refused).splitlines()) == 1
            assert re.search(r"(Nothing|No project) was written", str(refused))
            assert str(refused).isprintable()
            assert len(str(refused)) < 400
            counts["refused by the template"] += 1
        except COOKIECUTTERS_OWN as refused:
            frames = traceback.extract_tb(refused.__traceback__)
            assert not [frame for frame in frames if "capy_template" in frame.filename], refused
            assert question in ("a choice", "a hidden answer", "an answer that is no text"), refused
            counts["refused by cookiecutter"] += 1
        else:
            look_at(project)
            if counts["generated"] % BY_COMPOSE == 0:
                assert_compose_reads(project)
            shutil.rmtree(project)
            counts["generated"] += 1
        assert [*folder.iterdir()] == []
        folder.rmdir()
        assert [*here.iterdir()] == []

    try_them()


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What cookiecutter keeps of the answers of a good project, to be replayed."""
    folder = tmp_path_factory.mktemp("replay")
    made(folder, {}, "command line", {})
    [kept] = Path(get_user_config()["replay_dir"]).glob("*.json")
    return json.loads(kept.read_text())


def made(folder: Path, answers: dict[str, Any], way: str, replay: dict[str, Any]) -> Path:
    """Generate a project, without the hook: no answer is in that, and it takes longer than all the rest."""
    before = dict(sys.modules)
    given = folder.parent / f"{folder.name}.json"
    options: dict[str, Any] = {"no_input": True, "extra_context": answers}
    if way == "configuration file":
        settings_of_tests = {key: value for key, value in get_user_config().items() if key.endswith("_dir")}
        given.write_text(yaml.safe_dump({**settings_of_tests, "default_context": answers}))
        options = {"no_input": True, "config_file": str(given)}
    elif way == "replay file":
        given.write_text(json.dumps({**replay, "cookiecutter": {**replay["cookiecutter"], **answers}}))
        options = {"replay": str(given)}
    try:
        with warnings.catch_warnings(action="ignore"):  # cookiecutter's, of a default that is no choice
            return Path(cookiecutter(str(TEMPLATE), accept_hooks=False, output_dir=str(folder), **options))
    finally:
        given.unlink(missing_ok=True)
        sys.modules.update(before)


def look_at(project: Path) -> None:
    """Fail where a file does not parse, one of Compose's breaks its schema, or an answer was executed."""
    assert [*project.rglob("pwned")] == []
    for path in project.rglob("*"):
        if path.suffix in (".yaml", ".yml"):
            yaml.safe_load(path.read_text())
        elif path.suffix == ".toml":
            tomllib.loads(path.read_text())
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".py":
            ast.parse(path.read_text())
    for path in (path for pattern in COMPOSE_FILES for path in project.glob(pattern)):
        compose_schema().validate(yaml.safe_load(path.read_text()))


@functools.cache
def compose_schema() -> jsonschema.protocols.Validator:
    """Return the schema of compose-spec, which check-jsonschema brings."""
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def assert_compose_reads(project: Path) -> None:
    """Fail where `docker compose config` does: it resolves `extends` and every variable, too."""
    command = ["docker", "compose", "config", "--quiet"]
    environment = {**os.environ, "ACCELERATOR": "cpu"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
