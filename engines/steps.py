"""Share one error, progress lines, a cache folder and a lock between these tools."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from engines.processes import command_lines, kill_with_descendants, unmount

RUN = Path("/run/capy-template")  # short: the path of a Unix socket has at most 108 bytes


class EngineError(Exception):
    """An error that the user can fix; the message is one line: what is wrong, what to do."""


def say(text: str) -> None:
    """Print a line of progress to stderr; stdout is for results."""
    print(f"engine: {text}", file=sys.stderr, flush=True)


def cache() -> Path:
    """Return the folder of everything downloaded or built here; make it if it is missing."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "capy-template" / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def wait_until(done: Callable[[], bool], text: str, limit: float = float("inf")) -> bool:
    """Wait for `done()` and print the seconds; return False after `limit` seconds.

    A terminal gets one line that is rewritten, a log gets a new line every ten seconds.
    """
    begin, shown = time.monotonic(), -1
    terminal = sys.stderr.isatty()
    before, after, every = ("\r", "", 1) if terminal else ("", "\n", 10)
    try:
        while not done():
            seconds = int(time.monotonic() - begin)
            if seconds > shown and seconds % every == 0:
                shown = seconds
                line = f"{before}engine: {text} … {seconds} s"
                print(line, end=after, file=sys.stderr, flush=True)
            if seconds >= limit:
                return False
            time.sleep(0.1)
        return True
    finally:
        if terminal and shown >= 0:
            print(file=sys.stderr, flush=True)


def run(
    text: str,
    command: Sequence[str | Path],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command and print the seconds.

    Raises EngineError with the error line of its output.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd
        )
        try:
            wait_until(lambda: process.poll() is not None, text)
        finally:
            process.terminate()  # if the wait was interrupted
            process.wait()
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise EngineError(f"{text}: {telling_line(printed) or f'{command[0]} failed'}")


def telling_line(printed: str) -> str:
    """Return the first line with "error", else the last line that is not empty."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"^E:|^(docker: )?Error|No space left", line)]
    return (errors or lines[-1:] or [""])[0]


@contextmanager
def locked() -> Iterator[None]:
    """Hold the lock of all private engines, against two `up` at the same time.

    Raises EngineError without root.
    """
    try:
        RUN.mkdir(exist_ok=True)
        opened = (RUN / "lock").open("w")
    except PermissionError as error:
        raise EngineError(f"run this as root (sudo): {error}") from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is starting or stopping an engine; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def workshop() -> Iterator[Path]:
    """Yield a cache folder for something that is moved out of it when it is complete.

    The caller holds the lock, so other files there are from an interrupted run and are removed.
    """
    for leftover in cache().glob("unfinished-*"):
        clear(leftover)
    folder = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache()))
    try:
        yield folder
    finally:
        clear(folder)


def clear(folder: Path) -> None:
    """Remove a folder, and first processes and mounts in it, which a killed mmdebstrap leaves."""
    begin = f"{folder}/"
    kill_with_descendants(
        [pid for pid, words in command_lines() if any(f"{word}/".startswith(begin) for word in words)]
    )
    unmount(folder)
    shutil.rmtree(folder, ignore_errors=True)
