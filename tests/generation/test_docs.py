"""The documentation: one click from README.md, in step with questions, files, commands and the matrix."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from capy_template.matrix import first_build_minutes, load
from tests.conftest import TEMPLATE, run_cookiecutter
from tests.generation.conftest import COMBINATIONS, sentence
from tests.generation.docs_commands import COMMANDS
from tests.generation.expected_files import ONLY_WITH, RAY_SCRIPTS
from tools.prose.links import anchors

DOCS = sorted((TEMPLATE / "docs").glob("*.md"))
FRONT = [TEMPLATE / "README.md", TEMPLATE / "README.ja.md"]
PAGES = [
    *FRONT,
    *(TEMPLATE / name for name in ("SECURITY.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *DOCS,
]
LONGEST = 60  # lines of a README, without rows of tables
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
ASKED = [name for name in QUESTIONS if not name.startswith("_")]
COOKIECUTTER = "uvx cookiecutter gh:org/capy-template"
# What people search for, and the page and heading that answer it: one click from README.md.
SEARCHES = {
    "files owned by root, permission denied": "docs/permission-denied.md",
    "no GPU": "docs/no-gpu.md",
    "GPU not found in a container": "docs/gpu-not-found.md",
    "private PyPI index": "docs/private-index.md",
    "proxy, CA certificate": "docs/proxy.md",
    "VS Code dev container": "docs/vscode.md",
    "add packages": "docs/add-packages.md",
    "data and weights": "docs/data-and-weights.md",
    "more than one machine": "docs/more-machines.md",
    "Slurm": "docs/slurm.md",
    "update project": "docs/update.md",
    "error messages": "docs/error-messages.md",
}


def blocks(text: str) -> list[str]:
    """Return the shell blocks of a page; a block without a language counts as one."""
    return re.findall(r"(?ms)^```(?:sh)?\n(.*?)^```$", re.sub(r"(?ms)^```(?!sh$)\w+\n.*?^```$", "", text))


def comments(text: str) -> list[str]:
    """Return the lines with a comment in the shell blocks of a page, except scripts.

    zsh passes a pasted comment on as arguments, unless its option interactivecomments is set.
    """
    pasted = [block for block in blocks(text) if not block.startswith("#!")]
    return [line for block in pasted for line in block.splitlines() if re.search(r"(^|\s)#", line)]


def in_tables(text: str) -> Iterator[str]:
    """Yield the commands in the column `command` of a page's tables."""
    for table in re.findall(r"(?m)(?:^\|.*\|\n?)+", text):
        head, _, *rows = [line.strip("|").strip().split(" | ") for line in table.splitlines()]
        for column, title in enumerate(head):
            if title in ("command", "コマンド"):
                yield from (found for row in rows for found in re.findall(r"`([^`]+)`", row[column]))


def commands(page: Path) -> list[str]:
    """Return the commands of a page's shell blocks and tables, without the comments of scripts."""
    text = page.read_text()
    lines = [re.sub(r"(^|\s+)# .*", "", line) for block in blocks(text) for line in block.splitlines()]
    return [line.strip() for line in [*lines, *in_tables(text)] if line.strip()]


def is_listed(command: str, key: str) -> bool:
    """Return whether a key of the list is for a command."""
    return command == key or (key.endswith(" *") and f"{command} ".startswith(key[:-1]))


def key_of(command: str) -> str | None:
    """Return the longest key that is for a command."""
    return max((key for key in COMMANDS if is_listed(command, key)), key=len, default=None)


def test_every_command_names_the_test_that_runs_it():
    unknown = {(page.name, line) for page in PAGES for line in commands(page) if key_of(line) is None}

    assert unknown == set(), "add them to tests/generation/docs_commands.py"


def test_no_pasted_block_has_a_comment():
    assert {page.name: lines for page in PAGES if (lines := comments(page.read_text()))} == {}


def test_a_command_in_a_table_and_a_comment_in_a_block_are_found():
    table = "| what | command |\n|---|---|\n| `both` | `make a`, then `make b` |\n"
    script = "```sh\n#!/bin/sh\n# a script may\n```\n"

    assert list(in_tables(table)) == ["make a", "make b"]
    assert comments(f"{script}\n```sh\nls  # all\n# below\nls '#'\n```\n") == ["ls  # all", "# below"]


def test_no_command_is_listed_that_no_page_has():
    used = {key_of(line) for page in PAGES for line in commands(page)}

    assert set(COMMANDS) - used == set()


@pytest.mark.parametrize("test", sorted({test for test in COMMANDS.values() if "::" in test}))
def test_a_test_that_the_list_names_exists(test):
    file, function = test.split("::")

    assert re.search(rf"(?m)^def {function}\(", (TEMPLATE / file).read_text())


def test_each_promise_of_security_names_tests_that_exist():
    page = (TEMPLATE / "SECURITY.md").read_text()
    promised = page.partition("## Promised")[2].partition("\n## ")[0]
    rows = [re.findall(r"`([\w./]+\.(?:py|lock))`", row.split(" | ")[1]) for row in promised.splitlines()[4:]]
    folders = [TEMPLATE, TEMPLATE / "tests/engine", TEMPLATE / "tests/generation"]

    assert len(rows) > 20 and all(rows)
    for name in {name for names in rows for name in names}:
        assert [(folder / name).is_file() for folder in folders].count(True) == 1, name


@pytest.mark.parametrize("page", FRONT, ids=lambda page: page.name)
def test_a_readme_is_one_page(page):
    """A row of a table is read by whoever looks for it: a new question or environment adds one."""
    assert len([line for line in page.read_text().splitlines() if not line.startswith("|")]) <= LONGEST


@pytest.mark.parametrize("front", FRONT, ids=lambda page: page.name)
def test_every_page_is_one_click_from_the_readme(front):
    linked = set(re.findall(r"\]\((docs/[\w.-]+\.md)", front.read_text()))

    assert {f"docs/{page.name}" for page in DOCS} - {"docs/gpu.md"} == linked  # that one is for maintainers


@pytest.mark.parametrize(("search", "page"), SEARCHES.items(), ids=SEARCHES)
def test_what_people_search_for_is_the_title_of_its_page(search, page):
    title = (TEMPLATE / page).read_text().partition("\n")[0].lower()

    assert title.startswith("# ")
    assert [word for word in re.findall(r"\w+", search.lower()) if word not in title] == []


@pytest.mark.parametrize("page", [*FRONT, TEMPLATE / "docs/questions.md"], ids=lambda page: page.name)
def test_every_question_has_a_row_and_no_other(page):
    rows = re.findall(r"(?m)^\| `(\w+)` \| .*\| .*\|$|^\| `(\w+)` \| [^|]*\|$", page.read_text())

    names = [first or second for first, second in rows]
    assert [name for name in names if name in ASKED] == ASKED
    environments = set(QUESTIONS["environment"])
    assert {name for name in names if name not in ASKED and name not in environments} <= {"training"}


@pytest.mark.parametrize("page", FRONT, ids=lambda page: page.name)
def test_the_default_of_each_question_is_what_cookiecutter_takes(page):
    shown = dict(re.findall(r"(?m)^\| `(\w+)` \| `?([^`|]+?)`? \| ", page.read_text()))
    none = {"README.md": "none", "README.ja.md": "なし"}[page.name]
    spelled = {True: "yes", False: "no", "": none}

    for name in ASKED:
        default = QUESTIONS[name][0] if isinstance(QUESTIONS[name], list) else QUESTIONS[name]
        assert shown[name] == spelled.get(default, default), name


@pytest.mark.parametrize("page", [*FRONT, TEMPLATE / "docs/questions.md"], ids=lambda page: page.name)
@pytest.mark.parametrize("question", [name for name in ASKED if isinstance(QUESTIONS[name], list)])
def test_a_question_s_row_has_all_its_answers(page, question):
    [row] = re.findall(rf"(?m)^\| `{question}` \| .*$", page.read_text())

    assert [answer for answer in QUESTIONS[question] if not re.search(rf"[`=]{answer}`", row)] == []


def test_the_pages_of_lines_and_sizes_have_them_all():
    lines = re.findall(r"(?m)^\| .* \| `(cu\d\S*)` \|", (TEMPLATE / "docs/cuda-versions.md").read_text())
    sizes = (TEMPLATE / "docs/start-time.md").read_text()
    text_of = dict(re.findall(r"(?m)^\| `([\w-]+)` \| (.* GB) \|$", sizes))

    assert lines == QUESTIONS["cuda"]
    assert list(text_of) == QUESTIONS["environment"]
    for name, environment in load()["environments"].items():
        promised = {f"{gb:g} GB" for gb in environment["download_gb"].values()}
        assert {size for size in promised if size not in text_of[name]} == set(), name


@pytest.mark.parametrize("page", FRONT, ids=lambda page: page.name)
def test_the_costs_of_the_readme_are_those_of_the_matrix(page):
    for name, environment in load()["environments"].items():
        size = {line: f"{gb:g}" for line, gb in environment["download_gb"].items()}
        time = {line: first_build_minutes(gb) for line, gb in environment["download_gb"].items()}
        [row] = [line for line in page.read_text().splitlines() if line.startswith(f"| `{name}` |")][-1:]
        gpu = f"| `{name}` | {size['cu13-py312']} GB / {size['cu12-py312']} GB | "
        assert row.startswith(f"{gpu}{time['cu13-py312']} / {time['cu12-py312']} | {size['cpu']} GB"), row
        assert re.search(rf"GB[,、] ?{time['cpu']} (minutes|分) \|$", row), row


@pytest.mark.parametrize("page", ["gpu-settings.md", "data-and-weights.md"])
def test_seconds_of_compiled_code_are_those_of_the_last_report(page):
    report = (TEMPLATE / "docs/gpu.md").read_text().partition("## Last report")[2].partition("\n## ")[0]
    text = (TEMPLATE / "docs" / page).read_text()

    found = re.findall(r"[\d.]+ s, then [\d.]+ s", text)
    assert found
    assert [pair for pair in found if pair not in report] == []


def prompts(node: dict) -> Iterator[str]:
    """Yield the text of every question and every choice."""
    for value in node.values():
        if isinstance(value, dict):
            yield from prompts(value)
        else:
            yield value


def test_the_pages_name_the_version_of_this_checkout():
    version = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]["version"]
    named = {found for page in PAGES for found in re.findall(r"--checkout (\d[\d.]*\d)", page.read_text())}

    assert named == {version}


def test_no_prompt_is_longer_than_a_line():
    assert [text for text in prompts(QUESTIONS["__prompts__"]) if len(text) > 100] == []


@pytest.mark.parametrize(
    "command",
    sorted(
        {
            line
            for page in PAGES
            for line in commands(page)
            if line.startswith(COOKIECUTTER) and "--checkout" not in line and "--replay" not in line
        }
    ),
)
def test_each_cookiecutter_command_works(tmp_path, command):
    done = run_cookiecutter(tmp_path, *shlex.split(command.removeprefix(COOKIECUTTER)))

    assert done.returncode == 0, done.stdout + done.stderr
    [project] = tmp_path.iterdir()
    assert (project / "compose.yaml").is_file()


def tree(text: str) -> Iterator[str]:
    """Yield the paths of a drawn tree; a folder that has no line below it ends in a slash."""
    parents: list[str] = []
    lines = re.findall(r"(?m)^((?:[│ ]   )*[├└]── )(\S+)", text)
    for index, (lead, name) in enumerate(lines):
        depth = len(lead) // 4 - 1
        del parents[depth:]
        parents.append(name)
        is_parent = index + 1 < len(lines) and len(lines[index + 1][0]) > len(lead)
        if not is_parent:
            yield "".join(parents)


def test_the_sample_has_every_file_of_the_default_project(projects):
    drawn = list(tree((TEMPLATE / "docs/sample.md").read_text()))
    files = projects[sentence(COMBINATIONS[0])].files()

    folders = [name for name in drawn if name.endswith("/")]
    assert all(any(file.startswith(folder) for file in files) for folder in folders)
    alone = {file for file in files if not file.startswith(tuple(folders))}
    assert {name for name in drawn if not name.endswith("/")} == alone


def test_the_sample_says_what_each_file_is_for():
    text = (TEMPLATE / "docs/sample.md").read_text()
    lines = re.findall(r"(?m)^(?:[│ ]   )*[├└]── (\S+)(.*)$", text)

    assert [name for name, what in lines if not what.strip() and not name.endswith("/")] == []


def test_the_sample_names_every_file_that_another_answer_adds():
    """By its path or its name, or below a folder; a row that begins with "the same" adds to the one above."""
    names: set[str] = set()
    rows = {}
    table = (TEMPLATE / "docs/sample.md").read_text().partition("## What other answers add")[2]
    for answers, text in re.findall(r"(?m)^\| (`.*?) \| (.*) \|$", table):
        names = set(re.findall(r"`(.*?)`", text)) | (names if text.startswith("the same") else set())
        rows |= dict.fromkeys(re.findall(r"`(.*?)`", answers), names)
    added: dict[str, set[str]] = {}
    for (question, answer), files in ONLY_WITH.items():
        if answer == QUESTIONS[question] or answer == QUESTIONS["environment"][0]:
            continue  # the sample itself
        key = f"{question}={'yes' if answer is True else answer}".partition("=https")[0]
        added[key] = set(files.replace("PACKAGE", "my_project").split())
    for scripts in RAY_SCRIPTS.values():
        added["scale_out=ray"] |= set(scripts)

    assert set(added) <= set(rows)
    for answer, files in added.items():
        folders = tuple(name for name in rows[answer] if name.endswith("/"))
        lacking = {file for file in files if not {file, Path(file).name} & rows[answer]}
        assert {file for file in lacking if not (folders and file.startswith(folders))} == set(), answer


def test_the_list_of_error_messages_is_its_headings():
    text = (TEMPLATE / "docs/error-messages.md").read_text()

    listed = re.findall(r"(?m)^- \[(.*)\]\(#", text)
    assert listed == re.findall(r"(?m)^## (.*)$", text)


def test_the_front_page_says_what_it_is_before_all_else():
    first = " ".join((TEMPLATE / "README.md").read_text().split("\n\n")[1].split())

    assert first.startswith("A cookiecutter template for GPU machine-learning projects in Docker.")
    assert anchors((TEMPLATE / "docs/error-messages.md").read_text())
