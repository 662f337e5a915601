"""The bench's arithmetic, its clock and its report."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks import __main__ as bench
from benchmarks import builds, editor, report
from benchmarks.__main__ import LAST, QUESTIONS, keep, parse, publish
from benchmarks.measuring import NotMeasured, Rounds, first_line, output, seconds
from benchmarks.results import COMPUTED, FLOOR, GUIDE, OTHER, PRODUCT, Goal, Row, Spread, as_data
from benchmarks.starts import FILES, START, START_OF_GUIDE
from engines.steps import EngineError
from tests.conftest import TEMPLATE

QUIET = Console(quiet=True)
PYTHON = [sys.executable, "-c"]
SECONDS = st.floats(0.001, 1000)


def row(product: list[float], floor: list[float], *goals: Goal) -> Row:
    """Return a row with two ways."""
    return Row("start", "s", {PRODUCT: product, FLOOR: floor}, goals)


def test_ratios_are_those_of_the_rounds():
    """The ratio of the medians would be 2: no round had that."""
    assert row([1, 2, 30], [1, 1, 10]).ratio(FLOOR) == Spread(2, 1, 3)
    assert row([1, 2, 9, 10], [1, 1, 3, 2]).ratio(FLOOR) == Spread(2.5, 1, 5)


@given(st.lists(st.tuples(SECONDS, SECONDS, st.floats(0.1, 10)), min_size=1))
def test_a_machine_that_slows_down_in_some_rounds_changes_no_ratio(rounds):
    calm = row([ours for ours, _, _ in rounds], [theirs for _, theirs, _ in rounds])
    slowed = row([ours * by for ours, _, by in rounds], [theirs * by for _, theirs, by in rounds])

    for name in ("low", "median", "high"):
        assert getattr(slowed.ratio(FLOOR), name) == pytest.approx(getattr(calm.ratio(FLOOR), name))
    assert calm.ratio(FLOOR).low <= calm.ratio(FLOOR).median <= calm.ratio(FLOOR).high


def test_what_took_nothing_has_no_ratio():
    row = Row("disk writes", "KiB", {PRODUCT: [0.0], FLOOR: [0.0], GUIDE: [4.0]})

    assert as_data([row], {})["rows"][0]["ratios"].keys() == {GUIDE}


def test_rounds_that_are_no_pairs_are_an_error():
    with pytest.raises(ValueError, match="shorter"):
        row([1, 2], [1]).ratio(FLOOR)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal(2, FLOOR), True),
        (Goal(1.99, FLOOR), False),
        (Goal(2, FLOOR, at_least=True), True),
        (Goal(2.01, FLOOR, at_least=True), False),
        (Goal(4), True),
        (Goal(3.9), False),
    ],
    ids=str,
)
def test_a_goal_is_met_by_the_median(goal, met):
    assert row([2, 4, 60], [1, 2, 3]).met(goal) is met


def test_each_round_has_every_way_and_every_other_one_goes_backwards():
    order = []

    def way(name: str):
        return lambda: float(order.append(name) or len(order))

    values = Rounds(3, QUIET).in_turn("start", {PRODUCT: way("a"), FLOOR: way("b")})

    assert order in (list("abbaabba"), list("baabbaab"))
    assert {name: len(found) for name, found in values.items()} == {PRODUCT: 3, FLOOR: 3}
    assert min(values[PRODUCT] + values[FLOOR]) == 3, "the round that warms up counts"


@pytest.mark.parametrize(("clock", "whole"), [(first_line, False), (seconds, True)])
def test_a_start_lasts_until_the_first_line_and_not_until_the_end(tmp_path, clock, whole):
    end = tmp_path / "end"  # all processes have one clock
    script = "import pathlib, sys, time; print('here', flush=True); time.sleep(0.5); "
    script += f"pathlib.Path({str(end)!r}).write_text(str(time.perf_counter()))"
    begin = time.perf_counter()

    taken = clock([*PYTHON, script])

    assert (begin + taken > float(end.read_text())) == whole


@pytest.mark.parametrize("clock", [seconds, first_line, output])
def test_a_command_that_fails_ends_the_bench(clock):
    script = "import sys; print('here', flush=True); sys.exit('Error: no space')"

    with pytest.raises(EngineError, match=r"exit code 1: Error: no space$"):
        clock([*PYTHON, script])


def test_a_command_that_prints_nothing_has_no_first_line():
    with pytest.raises(EngineError, match="printed nothing"):
        first_line([*PYTHON, "pass"])


def test_a_run_as_json_has_its_values_ratios_and_goals():
    rows = [row([1.5, 2], [1, 1], Goal(1.05, FLOOR), Goal(64)), Row("size", "MB", {PRODUCT: [3]})]

    data = json.loads(json.dumps(as_data(rows, {"processors": 2})))

    assert data["machine"] == {"processors": 2}
    assert [found["values"] for found in data["rows"]] == [found.values for found in rows]
    assert data["rows"][0]["ratios"] == {FLOOR: {"median": 1.75, "low": 1.5, "high": 2.0}}
    assert data["rows"][0]["met"] == [False, True]


def test_a_reader_sees_medians_spreads_ratios_and_missed_goals():
    found = row([0.35712, 0.4, 0.3], [0.3, 0.35, 0.3], Goal(1.05, FLOOR), Goal(1))

    cells = dict(zip(report.HEAD, report.cells(found), strict=True))

    assert (cells[""], cells[PRODUCT]) == ("start", "0.357 s (0.300 to 0.400)")
    assert (cells[FLOOR], cells[GUIDE], cells[OTHER]) == ("0.300 s (0.300 to 0.350)", "", "")
    assert (cells["product ÷ floor"], cells["product ÷ guide"]) == ("1.14 (1.00 to 1.19)", "")
    assert (cells["goal"], cells["how"]) == ("≤ 1.05 of floor: MISSED; ≤ 1: met", "measured")


def test_what_was_computed_is_not_called_measured():
    found = Row("download", "MB", {PRODUCT: [1800.0], OTHER: [2600.0]}, how=COMPUTED)

    cells = dict(zip(report.HEAD, report.cells(found), strict=True))

    assert (cells[OTHER], cells["product ÷ other"], cells["how"]) == ("2,600 MB", "0.692", "computed")
    assert as_data([found], {})["rows"][0]["how"] == "computed"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.0123"), (0.35712, "0.357"), (12.34, "12.3"), (1234.5, "1,234")],
)
def test_figures_have_three_digits_that_count(value, text):
    assert report.figure(value) == text


def test_nothing_at_all_has_no_ratio():
    """A floor of 0 bytes."""
    assert report.cells(row([3], [0]))[report.HEAD.index("product ÷ floor")] == ""


# As `docker compose build --progress plain` prints it, cut.
LOG = """\
#15 [runtime 3/6] RUN --mount=type=secret,id=ca     --mount=type=cache,id=uv     sync-environment --packages
#15 2.392 Prepared 1 package in 870ms
#15 2.804 Installed 15 packages in 409ms
#18 [runtime 6/6] RUN --mount=type=secret,id=ca     sync-environment     && case $(stat -c %A .) in
#18 0.189 Prepared 1 package in 4ms
"""


def test_downloads_are_counted_where_packages_are_installed():
    """A later step prepares the project itself."""
    assert builds.downloaded(LOG) == 1
    assert (
        builds.downloaded(LOG.replace("#15 2.392 Prepared 1 package", "#15 2.392 Prepared 14 packages")) == 14
    )
    assert builds.downloaded(LOG.replace("#15 2.392 Prepared", "#15 CACHED")) == 0


def test_what_is_not_on_this_machine_is_named(monkeypatch):
    monkeypatch.setattr(editor.shutil, "which", lambda _: None)

    with pytest.raises(NotMeasured, match="Node 20"):
        next(editor.devcontainer(None, Rounds(1, QUIET)))


def test_the_published_table_has_the_columns_of_today():
    assert "| " + " | ".join(report.HEAD) + " |\n" in (TEMPLATE / "benchmarks/README.md").read_text()


def test_a_published_run_replaces_the_table_and_the_picture(tmp_path):
    readme, picture = tmp_path / "README.md", tmp_path / "start.svg"
    readme.write_text(f"{report.BEGIN}old\n{report.END}")
    rows = [
        Row(name.format(files), "s", {PRODUCT: [0.25], way: [0.5]})
        for files in FILES
        for name, way in ((START, FLOOR), (START_OF_GUIDE, GUIDE))
    ]

    publish(rows, {"processors": 2}, readme, picture)

    assert report.markdown(rows, {"processors": 2}) in readme.read_text()
    assert all(label in picture.read_text() for label in report.LABELS.values())


@pytest.mark.parametrize("fault", [None, NotMeasured("no npm")], ids=["whole", "a part"])
def test_a_run_is_published_if_it_measured_everything(fault, monkeypatch, tmp_path, capsys):
    """Else the table would lose the rows of an earlier run."""

    def measured(*_):
        if fault:
            raise fault
        return [row([1], [1])]

    @contextmanager
    def nothing(_):
        yield SimpleNamespace(machine=lambda: {"processors": 2})

    published = []
    monkeypatch.setattr(bench, "subjects", nothing)
    monkeypatch.setattr(bench, "QUESTIONS", {"start": lambda *_: [row([1], [1])], "devcontainer": measured})
    monkeypatch.setattr(bench, "LAST", tmp_path / "last.json")
    monkeypatch.setattr(bench, "publish", lambda rows, *_: published.append(len(rows)))
    monkeypatch.setattr(bench.signal, "signal", lambda *_: None)

    code = bench.main(parse(["--publish"]))

    said = capsys.readouterr().err.splitlines()
    assert (published, code) == (([], 1) if fault else ([2], 0))
    assert [line for line in said if "published" in line] == (
        ["bench: not published: the table would lose what was not measured"] if fault else []
    )


@pytest.mark.parametrize(("product", "others"), [(0.16, 5.4), (0.25, 0.6), (3.0, 40.0)])
def test_the_axis_of_the_picture_has_plain_numbers(product, others, tmp_path):
    rows = [
        Row(name.format(files), "s", {PRODUCT: [product], way: [others]})
        for files in FILES
        for name, way in ((START, FLOOR), (START_OF_GUIDE, GUIDE))
    ]

    report.plot(rows, tmp_path / "start.svg")

    labels = re.findall(r">([^<>]+ s)</text>", (tmp_path / "start.svg").read_text())
    assert len(labels) >= 2
    assert all(re.fullmatch(r"\d+(\.\d+)? s", label) for label in labels)


def test_every_value_of_a_run_is_kept(tmp_path):
    rows = [row([1.5, 2], [1, 1], Goal(1.05, FLOOR))]

    keep(rows, {"processors": 2}, tmp_path / "new/last.json")

    kept = json.loads((tmp_path / "new/last.json").read_text())
    assert kept == json.loads(json.dumps(as_data(rows, {"processors": 2})))


def test_git_ignores_the_kept_values():
    assert f"{LAST.parent.name}/" in (TEMPLATE / ".gitignore").read_text().splitlines()


def test_a_table_is_written_between_its_two_marks_alone(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")

    report.write_table(path, "new\n")

    assert path.read_text() == f"before\n{report.BEGIN}\nnew\n\n{report.END}after\n"
    path.write_text("no marks\n")
    with pytest.raises(ValueError, match="lacks the comments"):
        report.write_table(path, "new\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["size", "--publish"], "--publish writes the table of all questions: name none"),
        (["size", "rebuild", "--rounds", "18"], "rebuild adds a package a round and has 17: --rounds 17"),
        (["--rounds", "18"], "rebuild adds a package a round and has 17: --rounds 17"),
        (["start", "--rounds", "0"], "argument --rounds: '0' is not a whole number above 0"),
        (["start", "--rounds", "x"], "argument --rounds: 'x' is not a whole number above 0"),
        (["start", "nothing"], f"'nothing' is not a QUESTION: {', '.join(QUESTIONS)}"),
    ],
)
def test_arguments_that_would_fail_after_the_measurement_are_refused_before(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(arguments)

    assert capsys.readouterr().err.splitlines()[-1] == f"python -m benchmarks: error: {message}"


@pytest.mark.parametrize(
    "arguments", [["--publish"], ["--rounds", "17"], ["start", "--rounds", "20"], ["size", "--json"]], ids=str
)
def test_other_arguments_are_taken(arguments):
    assert set(parse(arguments).questions) <= set(QUESTIONS)
