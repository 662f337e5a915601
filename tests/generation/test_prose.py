"""The checks of prose find what they are for: a word that is not ours, a dead link, a weak sentence."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import TEMPLATE
from tools.prose.__main__ import main, pages, sources
from tools.prose.links import anchors
from tools.prose.terms import misused, terms

PYMARKDOWN = [sys.executable, "-m", "pymarkdown", "scan"]


def test_the_pages_of_this_repository_have_no_fault(capsys):
    assert main([]) == 0, capsys.readouterr().out
    assert len(pages()) > 20


@pytest.mark.parametrize(
    "name",
    [
        "compose.yaml",
        "docker/entrypoint.sh",
        ".env.example",
        ".devcontainer/devcontainer.json",
        "pyproject.toml",
    ],
)
def test_the_files_of_the_project_are_checked(name):
    assert [path for path in sources() if str(path).endswith(f"}}/{name}")]


def test_python_code_is_checked_on_both_sides_of_the_project():
    found = {path.relative_to(TEMPLATE).parts[0] for path in sources() if path.suffix == ".py"}

    assert {"capy_template", "engines", "hooks", "templates", "tests", "tools"} <= found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "x = 1\n# Run it\n# as anybody.\n"),
        ("a.py", 'x = 1\nprint("run it "\n      f"as anybody")\n'),
        ("a.sh", "x=1\n    # run it as\n    # anybody\n"),
        ("compose.yaml", "x: 1\n# run it as anybody\n"),
    ],
    ids=["a comment of two lines", "a string of two parts", "an indented comment", "YAML"],
)
def test_a_word_in_a_source_file_is_named_with_its_line(tmp_path, capsys, name, text):
    path = tmp_path / name
    path.write_text(text)

    assert main([str(path)]) == 1
    assert f"{name}:2: " in capsys.readouterr().out


def test_every_word_of_the_list_is_found():
    for word, better in terms().items():
        text = f"One line.\nBefore {re.sub(r'[(].*', '', word)} after.\n"
        assert (2, better) in [(line, found) for line, _, found in misused(text, terms())], word


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("As whom\ndoes it run?", "Which user does it run as?"),
        ("PROXY THAT OPENS TLS", "a TLS-intercepting proxy"),
        ("ユーザは", "ユーザー"),
    ],
    ids=["across a line break", "in capitals", "a word that another one begins with"],
)
def test_a_word_is_found_however_it_is_written(text, advice):
    assert advice in [better for _, _, better in misused(text, terms())]


def test_the_better_word_is_no_fault():
    assert list(misused("ユーザーは root。a TLS-intercepting proxy", terms())) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](nowhere.md)\n", "page.md:1: nowhere.md: no such file"),
        ("# One\n\n[a](#two)\n", "page.md:3: #two: no such heading"),
        ("[a](../../../etc/passwd)\n", "no such file"),
        ("![a](nowhere.svg)\n", "page.md:1: nowhere.svg: no such file"),
        ("It is very unique.\n", "page.md:1: uncomparables"),
        ("As whom does it run?\n", "page.md:1: 'As whom does it run'"),
    ],
    ids=["a file", "a heading", "a file of somebody else's", "a picture", "prose", "a term"],
)
def test_a_fault_is_named_with_its_line(tmp_path, capsys, text, fault):
    page = tmp_path / "page.md"
    page.write_text(text)

    assert main([str(page)]) == 1
    assert fault in capsys.readouterr().out


def test_code_and_other_sites_are_no_fault(tmp_path):
    page = tmp_path / "page.md"
    links = "`[a](nowhere.md)` [b](https://example.com/x) [c](#a-heading)"
    page.write_text(f"# A heading\n\n{links}\n\n```sh\n[d](e.md)\n```\n")

    assert main([str(page)]) == 0


def test_anchors_are_those_that_github_makes():
    text = "# One & `two`: three\n\n## [A link](x.md)\n\n## Twice\n\n## Twice\n"

    assert anchors(text) == {"one--two-three", "a-link", "twice", "twice-1"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [("# A\n\n" + "word " * 30 + "\n", "MD013"), ("# A\n\n```\nls\n```\n", "MD040")],
    ids=["a long line", "a block of code without a language"],
)
def test_markdown_is_checked(tmp_path, text, rule):
    page = tmp_path / "page.md"
    page.write_text(text)

    done = subprocess.run([*PYMARKDOWN, page], cwd=TEMPLATE, capture_output=True, text=True)

    assert done.returncode == 1, done.stderr
    assert rule in done.stdout


def test_the_lint_target_runs_every_check():
    done = subprocess.run(["make", "--dry-run", "lint"], cwd=TEMPLATE, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    for tool in ("ruff check", "ruff format --check", "shellcheck", "pymarkdown scan", "-m tools.prose"):
        assert tool in done.stdout
    scanned = {name for line in done.stdout.splitlines() if "pymarkdown" in line for name in line.split()}
    assert {str(page.relative_to(TEMPLATE)) for page in pages()} <= scanned
