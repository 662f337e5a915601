"""Show a run: a table for the terminal, one for README.md, a picture."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from rich.table import Table

from benchmarks.results import FLOOR, GUIDE, OTHER, PRODUCT, Row, Spread
from benchmarks.starts import FILES, START, START_OF_GUIDE

WAYS = (PRODUCT, FLOOR, GUIDE, OTHER)
HEAD = ("", *WAYS, *(f"{PRODUCT} ÷ {way}" for way in WAYS[1:]), "goal", "how")
BEGIN, END = "<!-- written by `make bench ARGS=--publish` -->\n", "<!-- until here -->\n"
COLOURS = {PRODUCT: "#2a7f3f", FLOOR: "#888888", GUIDE: "#c0392b"}
LABELS = {
    PRODUCT: "this template",
    FLOOR: "the engine alone, no entrypoint",
    GUIDE: "a gosu entrypoint with chown -R and chmod -R",
}


def figure(value: float) -> str:
    """Return a number with three significant digits: 0.357, 12.3, 1,234."""
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, digits)}f}"


def shown(spread: Spread, unit: str = "") -> str:
    """Return a spread as text: the median, then the lowest and the highest if they differ."""
    low, high = figure(spread.low), figure(spread.high)
    return figure(spread.median) + f" {unit}".rstrip() + (f" ({low} to {high})" if low != high else "")


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row, one for each column of HEAD."""
    values = [shown(row.value(way), row.unit) if way in row.values else "" for way in WAYS]
    ratios = [ratio(row, way) for way in WAYS[1:]]
    goals = "; ".join(f"{goal}: {'met' if row.met(goal) else 'MISSED'}" for goal in row.goals)
    return (row.name, *values, *ratios, goals, row.how)


def ratio(row: Row, way: str) -> str:
    """Return the ratio to a way, "" if it was not measured or is zero."""
    if way not in row.values or not all(row.values[way]):
        return ""
    return shown(row.ratio(way))


def table(rows: list[Row]) -> Table:
    """Return the table for the terminal."""
    result = Table(*HEAD, show_lines=True)
    for row in rows:
        result.add_row(*cells(row))
    return result


def markdown(rows: list[Row], machine: dict[str, str | int]) -> str:
    """Return the machine and the table as Markdown."""
    lines = [", ".join(f"{name}: {text}" for name, text in machine.items()), ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_table(path: Path, text: str) -> None:
    """Write a table between the two marks of a file. Raises ValueError without them."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} lacks the comments that mark the place of the table")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def plot(rows: list[Row], path: Path) -> None:
    """Draw the seconds of a start against the number of files in the project, as SVG."""
    by_name = {row.name: row for row in rows}
    starts = {
        PRODUCT: [by_name[START.format(files)] for files in FILES],
        FLOOR: [by_name[START.format(files)] for files in FILES],
        GUIDE: [by_name[START_OF_GUIDE.format(files)] for files in FILES],
    }
    # Keep text as text; the same run gives the same file.
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "capy", "font.family": "sans-serif"}
    picture, axes = pyplot.subplots(figsize=(7, 3.6))
    for way in (GUIDE, PRODUCT, FLOOR):
        spreads = [row.value(way) for row in starts[way]]
        medians = [spread.median for spread in spreads]
        bars = [
            [spread.median - spread.low for spread in spreads],
            [spread.high - spread.median for spread in spreads],
        ]
        style = {"color": COLOURS[way], "linestyle": "--" if way == FLOOR else "-"}
        axes.errorbar(FILES, medians, bars, marker="o", capsize=3, label=LABELS[way], **style)
    axes.set(xscale="log", yscale="log", xlabel="files in the project", ylabel="time to the first line")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    # plain numbers: less than a decade would be labelled with powers of ten
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g} s"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)
    picture.tight_layout()
    picture.savefig(path, metadata={"Date": None})
    pyplot.close(picture)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
