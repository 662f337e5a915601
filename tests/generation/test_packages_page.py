"""`make packages` as a whole: its command, what it keeps, and the document that it writes."""

from __future__ import annotations

import math
import re
import tomllib

import pytest
from packaging.requirements import Requirement

from capy_template.matrix import load
from compatibility import packages, packages_page
from compatibility.cache import JsonCache
from compatibility.packages import Package
from compatibility.verdicts import AGREES, REFUSED, SYSTEM, Verdict
from tests.support.fake_index import PADDING, FakeIndex, agreeing_with, served

pytestmark = pytest.mark.usefixtures("nobodys_settings")

LINES = ["one", "two"]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, bake):
    """An index with all that the projects of the lines need, without PyTorch's own."""
    fake = agreeing_with(load())
    add_tools(fake, bake(environment="full").read("pyproject.toml"))
    with served(fake):
        monkeypatch.setattr("compatibility.index.pip_settings", lambda: {"index-url": fake.url})
        yield fake


def add_tools(fake: FakeIndex, text: str) -> None:
    """Put what a project's dependency groups name on the index."""
    for items in tomllib.loads(text)["dependency-groups"].values():
        for item in items:
            if isinstance(item, str):
                fake.add(Requirement(item).name, re.search(r"[\d.]+", item)[0])


def test_a_package_is_tried_in_every_line_and_its_library_is_named(index, capsys, monkeypatch):
    monkeypatch.setattr("compatibility.wheels.SMALL_WHEEL", 2 * PADDING)
    index.add("new-package", "1.0", needs=["onnxruntime"], new__module="find_library('zbar')")

    code = packages.main(["new-package"])

    said = capsys.readouterr()
    assert code == 0, said.err
    assert "| `new-package` | `full` | agrees with `libzbar0t64`, 1.0 | agrees with `libzbar0t64`" in said.out
    assert "agrees with `libzbar0`, 1.0 |" in said.out  # the older Ubuntu


@pytest.mark.parametrize("name", ["a b", "", "-1==2", "torch=2"])
def test_what_is_no_requirement_is_refused_before_anything_is_locked(name, capsys, monkeypatch):
    monkeypatch.setattr(packages, "try_all", lambda *_: pytest.fail("locked first"))

    with pytest.raises(SystemExit, match="2"):
        packages.main(["--", "numpy", name])

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"error: {name!r} is not a requirement, such as numpy or numpy>=2")


@pytest.mark.nightly
def test_a_second_run_resolves_nothing(index, capsys, monkeypatch):
    index.add("new-package", "1.0")
    assert packages.main(["new-package"]) == 0
    first = capsys.readouterr().out
    monkeypatch.setattr("compatibility.uv_add.Project.add", lambda *_: pytest.fail("resolved again"))

    assert packages.main(["new-package"]) == 0
    assert capsys.readouterr().out == first


def test_what_uv_refuses_is_refused_with_its_reason(index, capsys):
    index.add("new-package", "1.0", needs=["numpy<1"])

    assert packages.main(["new-package"]) == 0
    assert "[refused](#refused)" in (said := capsys.readouterr().out)
    assert "numpy<1" in said


@pytest.mark.parametrize("status", [401, 500])
def test_an_index_without_an_answer_is_one_line_and_a_failure(index, capsys, status):
    index.status = status

    code = packages.main(["new-package"])

    lines = [line for line in capsys.readouterr().err.splitlines() if "generating" not in line]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"packages: the package index {index.url} gives no answer: ")


def test_what_was_looked_up_is_asked_for_once(tmp_path):
    cache, asked = JsonCache(tmp_path), []

    answers = [cache.get("a question", lambda: asked.append(1) or {"found": 1}) for _ in range(2)]

    assert (answers, asked) == ([{"found": 1}] * 2, [1])


def test_a_failure_is_not_kept_and_half_a_file_counts_as_none(tmp_path):
    cache = JsonCache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cache.get("a question", lambda: 1 / 0)
    cache.get("a question", lambda: 1)
    next(tmp_path.iterdir()).write_text('{"key": "a qu')

    assert cache.get("a question", lambda: 2) == 2


def found(name: str, **verdicts: Verdict) -> packages_page.Found:
    """Return verdicts of a package by `line_accelerator`; it agrees elsewhere."""
    return {
        (name, line, accelerator): verdicts.get(f"{line}_{accelerator}", Verdict(AGREES, "1.0"))
        for line in LINES
        for accelerator in ("nvidia", "cpu")
    }


def test_the_figures_count_every_cell():
    package = Package("new", "Of a kind", note="a word about it")
    verdicts = found(
        "new",
        one_cpu=Verdict(REFUSED, "1.0", reasons=("why",)),
        two_cpu=Verdict(SYSTEM, "1.0", system=("libgl1",)),
    )

    text = packages_page.page([package], LINES, verdicts, "2026-01-02", "0.1.2")

    assert "**1 packages x 2 lines x 2 accelerators: 2 agree,\n1 agree with a system package, 1 refus" in text
    assert "uv resolves 1 of the refused without an error. 0 that agree have unread files" in text
    assert "\nDate: 2026-01-02; uv 0.1.2.\n" in text
    assert "## Of a kind\n" in text
    assert "| `new`: a word about it | `full` | `nvidia`: agrees, 1.0; `cpu`: [refused](#refused) | " in text
    assert "`cpu`: agrees with `libgl1`, 1.0 |" in text


@pytest.mark.parametrize(
    ("verdicts", "where", "instead"),
    [
        (
            ["one_cpu", "two_cpu"],
            "one `cpu`, two `cpu`",
            "`uv add --optional nvidia 'new'`: for the GPU alone",
        ),
        (["one_nvidia", "one_cpu"], "one", "the line two"),
        (["one_nvidia", "two_cpu"], "one `nvidia`, two `cpu`", "the line two"),
        (["one_nvidia", "one_cpu", "two_nvidia", "two_cpu"], "one, two", "a container of its own"),
    ],
)
def test_a_refusal_says_what_to_do_instead(verdicts, where, instead):
    refused = Verdict(REFUSED, "1.0", reasons=("why", "and why", "one more"))

    rows = packages_page.refusals(Package("new", ""), LINES, found("new", **dict.fromkeys(verdicts, refused)))

    assert rows == [["`new`", where, "why. and why", instead]]


def test_the_list_may_name_what_to_do_instead():
    package = Package("new", "", instead="something better")

    (row,) = packages_page.refusals(package, LINES, found("new", one_cpu=Verdict(REFUSED, reasons=("why",))))

    assert row[-1] == "something better"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict(AGREES, "1.0", newest="2.0"), "agrees, 1.0 (newest: 2.0)"),
        (Verdict(AGREES, "1.0", narrowed=True), "agrees, 1.0, image's Python alone"),
        (Verdict(SYSTEM, "1.0", system=("libgl1", "ffmpeg")), "agrees with `libgl1`, `ffmpeg`, 1.0"),
        (Verdict(AGREES, "1.0", unread=("new/large.so",)), "agrees, 1.0*"),
        (Verdict(AGREES, replaced=True), "agrees: the project's OpenCV takes its place"),
    ],
)
def test_a_verdict_is_a_few_words(verdict, text):
    assert packages_page.words(verdict) == text


def test_of_uvs_refusal_its_cause_is_left_without_a_path_of_the_machine():
    said = (
        "Using CPython 3.11 interpreter at: /somebodys/python3 error: Failed to add cause: No solution "
        "found when resolving dependencies: Because new==1 depends on numpy<1 and my-project depends on "
        "numpy>=2, we can conclude that new==1 cannot be used. hint: a hint"
    )

    assert (
        packages_page.short(said) == "Because new==1 depends on numpy<1 and the project depends on numpy>=2"
    )


def test_the_document_has_a_row_for_every_package_of_the_list_and_no_other():
    text = packages_page.PAGE.read_text(encoding="utf-8")
    tables = text.partition("## Refused")[0]

    rows = re.findall(r"^\| `([^`]+)`", tables, re.MULTILINE)

    assert rows == [package.name for package in packages.listed()]
    figures = text.partition("**")[2].partition("**")[0]
    cells, verdicts = re.findall(r"\d+", figures)[:3], re.findall(r"\d+", figures)[3:]
    assert math.prod(map(int, cells)) == sum(map(int, verdicts))


def test_the_documents_lines_fit_but_for_those_of_tables():
    lines = packages_page.PAGE.read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
