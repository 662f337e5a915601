"""Time commands in rounds, one after the other, and show the progress."""

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
    """Something needed for a measurement is missing on this machine; others still run."""


@dataclass(frozen=True)
class Rounds:
    """The number of rounds, and a console for progress; stdout is for results."""

    count: int
    console: Console

    def in_turn(self, title: str, ways: Mapping[str, Way], warm_up: int = 1) -> dict[str, list[float]]:
        """Return the value of each way in each round, without warm-up rounds.

        Every other round is reversed, so that no way always profits from the one before it.
        """
        values: dict[str, list[float]] = {name: [] for name in ways}
        if not self.console.is_terminal:
            self.console.print(f"bench: {title}", highlight=False)
        with self.progress() as progress:
            task = progress.add_task(title, total=(warm_up + self.count) * len(ways))
            for number in range(warm_up + self.count):
                for name in list(ways) if number % 2 else reversed(ways):
                    progress.update(task, description=f"bench: {title}: {name}")
                    os.sync()  # so that the next way does not pay for these writes
                    value = ways[name]()
                    if number >= warm_up:
                        values[name].append(value)
                    progress.advance(task)
        return values

    def progress(self) -> Progress:
        """Return the progress line for a terminal."""
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        return Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)


def seconds(command: list[str], **where) -> float:
    """Return the seconds of a command. Raises EngineError if it fails."""
    begin = time.perf_counter()
    output(command, **where)
    return time.perf_counter() - begin


def first_line(command: list[str], **where) -> float:
    """Return the seconds until a command prints its first line, and wait for its end.

    Raises EngineError if it fails or prints nothing.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **where)
    try:
        line = process.stdout.readline()
        taken = time.perf_counter() - begin
        _, errors = process.communicate()
    finally:
        process.terminate()  # if the wait was interrupted
        process.wait()
    if process.returncode or not line:
        raise failed(command, process.returncode, errors)
    return taken


def output(command: list[str], **where) -> str:
    """Return the output of a command on both streams. Raises EngineError if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **where)
    if done.returncode:
        raise failed(command, done.returncode, done.stdout)
    return done.stdout


def failed(command: list[str], code: int, printed: str) -> EngineError:
    """Return the error for a failed command, with the error line of its output."""
    why = telling_line(printed) or "it printed nothing"
    return EngineError(f"`{' '.join(command)}` ended with exit code {code}: {why}")
