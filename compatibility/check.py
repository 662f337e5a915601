"""Check that the package index still has what matrix.yaml lists.

python -m compatibility.check               every line, from the index's metadata; a few seconds
python -m compatibility.check --full LINE   install and examine one line's real packages for a GPU
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from capy_template.matrix import load
from compatibility import facts, full
from compatibility.facts import Line
from compatibility.index import CannotCheck, Index, Outdated, users_index

NOT_ASKED = "Not checked, since the index has no images and drivers: {}."


@dataclass(frozen=True)
class Finding:
    """One fact of one line: the matrix's value and, if it is outdated, the index's."""

    line: str
    fact: str
    value: str
    change: str = ""


def check(index: Index, matrix: dict) -> Iterator[Finding]:
    """Yield a finding for each fact as the index answers. Raises CannotCheck."""
    lines = [Line(name, matrix, index) for name in matrix["lines"]]
    questions = [(line, fact, ask) for line in lines for fact, ask in facts.questions(line).items()]
    with ThreadPoolExecutor(max_workers=8) as pool:
        # first, so that an index that does not answer is noticed at once
        list(pool.map(index.files, {name for line in lines for name in line.distributions}))
        asked = [pool.submit(answer, *question) for question in questions]
        try:
            for done in track(
                as_completed(asked),
                "asking the package index",
                total=len(asked),
                console=Console(stderr=True),
                transient=True,
                disable=not sys.stderr.isatty(),
            ):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def answer(line: Line, fact: str, ask: Callable[[Line], None]) -> Finding:
    """Check one fact of a line. Raises CannotCheck."""
    try:
        ask(line)
    except Outdated as change:
        return Finding(line.name, fact, line.shown(fact), str(change))
    return Finding(line.name, fact, line.shown(fact))


def table(findings: list[Finding]) -> Table:
    """Return the findings as a table, grouped by line."""
    shown = Table("line", "fact", "the matrix says", "the index says")
    previous = ""
    for finding in findings:
        if previous and finding.line != previous:
            shown.add_section()
        shown.add_row(
            finding.line if finding.line != previous else "",
            finding.fact,
            finding.value,
            f"[red]{escape(finding.change)}[/]" if finding.change else "[green]ok[/]",
        )
        previous = finding.line
    return shown


def ask_the_index() -> int:
    """Print the table of every line; return 1 if a fact is outdated. Raises CannotCheck."""
    matrix, index = load(), users_index()
    say(f"asking the package index about {len(matrix['lines'])} lines")
    order = list(matrix["lines"])
    findings = sorted(check(index, matrix), key=lambda finding: (order.index(finding.line), finding.fact))
    # a log is as wide as its longest row
    Console(width=None if sys.stdout.isatty() else 160).print(table(findings))
    asked = {finding.fact for finding in findings}
    others = [name for name, fact in matrix["lines"][order[0]].items() if isinstance(fact, dict)]
    print(NOT_ASKED.format(", ".join(name for name in others if name not in asked)))
    changed = [finding for finding in findings if finding.change]
    for finding in changed:
        say(f"{finding.line}: {finding.fact} is {finding.value} in the matrix, but {finding.change}")
    return int(bool(changed))


def say(text: str) -> None:
    """Print a line of progress or an error to stderr; stdout is for results."""
    print(f"check-compatibility: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; expected errors and Ctrl-C print one line."""
    parser = argparse.ArgumentParser(
        prog="python -m compatibility.check", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--full", metavar="LINE", help="install and examine this line's real packages")
    line = parser.parse_args(arguments).full
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    try:
        return full.examine(line, say) if line else ask_the_index()
    except CannotCheck as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; temporary files were removed")
        return 130


if __name__ == "__main__":
    sys.exit(main())
