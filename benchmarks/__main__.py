"""Compare the product with the guide's way and with the bare engine, on this machine, in one run."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import builds, generation, report, sizes, starts
from benchmarks.editor import devcontainer
from benchmarks.measuring import NotMeasured, Rounds
from benchmarks.results import Row, as_data
from benchmarks.subjects import TEMPLATE, subjects
from engines.engine import guarded

HERE = Path(__file__).parent
LAST = TEMPLATE / ".bench/last.json"
QUESTIONS = {
    "generation": generation.generation,
    "start": starts.start,
    "import": starts.first_import,
    "writes": starts.writes,
    "load": starts.load,
    "size": builds.size,
    "rebuild": builds.rebuild,
    "cold": builds.cold,
    "devcontainer": devcontainer,
    "download": sizes.sizes,
}


def main(arguments: argparse.Namespace) -> int:
    """Measure and print; return 1 if a goal was missed or something could not be measured.

    Raises EngineError if a command failed; the results so far are printed.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # removes what was made, as on Ctrl-C
    progress = Console(stderr=True)
    rows: list[Row] = []
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="capy-bench-") as folder, subjects(Path(folder)) as made:
        machine = made.machine()
        rounds = Rounds(arguments.rounds, progress)
        try:
            for name in arguments.questions or QUESTIONS:
                try:
                    rows.extend(QUESTIONS[name](made, rounds))
                except NotMeasured as error:
                    missing.append(f"{name}: {error}")
        finally:
            if rows:
                keep(rows, machine, LAST)
            show(rows, machine, arguments.json)
    for line in missing:
        progress.print(f"bench: NOT MEASURED: {line}", style="bold yellow")
    if arguments.publish and missing:
        progress.print(
            "bench: not published: the table would lose what was not measured", style="bold yellow"
        )
    elif arguments.publish:
        publish(rows, machine, HERE / "README.md", TEMPLATE / "docs/start.svg")
    missed = [f"{row.name}: {goal}" for row in rows for goal in row.goals if not row.met(goal)]
    for line in missed:
        progress.print(f"bench: goal missed: {line}", style="bold yellow", highlight=False)
    return 1 if missed or missing else 0


def keep(rows: list[Row], machine: dict[str, str | int], path: Path) -> None:
    """Write every value of a run to a file that git ignores."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(as_data(rows, machine), indent=1) + "\n")


def show(rows: list[Row], machine: dict[str, str | int], as_json: bool) -> None:
    """Print what was measured."""
    if as_json:
        print(json.dumps(as_data(rows, machine), indent=1))
    elif rows:
        console = Console() if sys.stdout.isatty() else Console(width=180)
        console.print(report.table(rows))
        console.print(*(f"{name}: {text}" for name, text in machine.items()), sep="\n", highlight=False)


def publish(rows: list[Row], machine: dict[str, str | int], readme: Path, picture: Path) -> None:
    """Write the table and the picture of a run into the repository."""
    report.write_table(readme, report.markdown(rows, machine))
    report.plot(rows, picture)


def at_least_one(text: str) -> int:
    """Return a number of rounds. Raises ArgumentTypeError, which argparse prints, for another text."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line; exits where a measurement would fail at its end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "questions",
        nargs="*",
        metavar="QUESTION",
        help=f"what to measure (default: all): {', '.join(QUESTIONS)}",
    )
    parser.add_argument(
        "--rounds", type=at_least_one, default=5, help="rounds that count, each way once (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print every value as JSON instead of a table")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="also write benchmarks/README.md and docs/start.svg; all questions",
    )
    arguments = parser.parse_args(words)
    for name in arguments.questions:
        if name not in QUESTIONS:
            parser.error(f"{name!r} is not a QUESTION: {', '.join(QUESTIONS)}")
    most = len(builds.MORE_PACKAGES)
    if arguments.publish and arguments.questions:
        parser.error("--publish writes the table of all questions: name none")
    if arguments.rounds > most and "rebuild" in (arguments.questions or QUESTIONS):
        parser.error(f"rebuild adds a package a round and has {most}: --rounds {most}")
    return arguments


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(parse())))
