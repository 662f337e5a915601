"""How things are timed: one way after the other, round by round, with a line that shows how far it is."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engines.steps import EngineError, telling_line

Way = Callable[[], float]


class NotMeasured(Exception):
    """Something that a question needs is not on this machine; the others can be answered."""


@dataclass(frozen=True)
class Rounds:
    """How often each way is measured; stdout stays free for the results."""

    count: int
    console: Console

    def in_turn(self, title: str, ways: Mapping[str, Way], warm_up: int = 1) -> dict[str, list[float]]:
        """Return what each way gave in each round; rounds that warm up do not count.

        Every other round goes backwards, so that no way always profits from the one before it.
        """
        values: dict[str, list[float]] = {name: [] for name in ways}
        if not self.console.is_terminal:
            self.console.print(f"bench: {title}", highlight=False)
        with self.progress() as progress:
            task = progress.add_task(title, total=(warm_up + self.count) * len(ways))
            for number in range(warm_up + self.count):
                for name in list(ways) if number % 2 else reversed(ways):
                    progress.update(task, description=f"bench: {title}: {name}")
                    os.sync()  # what one way has written must not be paid for by the next
                    value = ways[name]()
                    if number >= warm_up:
                        values[name].append(value)
                    progress.advance(task)
        return values

    def progress(self) -> Progress:
        """Return the line that a terminal shows meanwhile."""
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)


def seconds(command: list[str], **where) -> float:
    """Return how long a command takes. Raises EngineError: it failed."""
    begin = time.perf_counter()
    output(command, **where)
    return time.perf_counter() - begin


def first_line(command: list[str], **where) -> float:
    """Return the seconds until a command has printed its first line; it then runs to its end.

    Raises EngineError: it failed, or printed nothing.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **where)
    try:
        line = process.stdout.readline()
        taken = time.perf_counter() - begin
        _, errors = process.communicate()
    finally:
        process.terminate()  # where the wait was interrupted
        process.wait()
    if process.returncode or not line:
        raise failed(command, process.returncode, errors)
    return taken


def output(command: list[str], **where) -> str:
    """Return what a command prints on both streams. Raises EngineError: it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **where)
    if done.returncode:
        raise failed(command, done.returncode, done.stdout)
    return done.stdout


def failed(command: list[str], code: int, printed: str) -> EngineError:
    """Return the error that ends the bench: which command, and the line of its output that tells most."""
    why = telling_line(printed) or "it printed nothing"
    return EngineError(f"`{' '.join(command)}` ended with exit code {code}: {why}")
