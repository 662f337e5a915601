"""Wait for what other processes do."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Wait until `done()` and return whether it was in time."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def runs(pid: int | str) -> bool:
    """Return whether a process runs; a zombie does not: some machines' first process never reaps one."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] != "Z"
    return False


def ends(pid: int | str) -> bool:
    """Return whether a process has ended within 20 seconds: on a busy machine the kernel takes a moment."""
    return within(20, lambda: not runs(pid))
