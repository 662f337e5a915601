"""Folders in which hosts, clusters and engines run, and the removal of those that a killed run left.

A run holds a lock in its folder, which the kernel gives back however the run ends: so a folder whose lock
is free belongs to nobody.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.steps import cache, clear, locked

PREFIX = "capy-running-"
OPEN = Path("/var/tmp")  # every user may go there, whatever TMPDIR says


@contextmanager
def running_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Lend a folder, in the cache or in `parent`, for the length of a `with` block; remove it with all in it.

    What still runs there, and is mounted there, is ended. Raises EngineError for who is not root.
    """
    with locked():  # nobody looks for leftovers between the folder and its lock
        remove_leftovers()
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=parent or cache()))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            folder.chmod(0o755)
            yield folder
        finally:
            clear(folder)


def remove_leftovers() -> None:
    """Remove the folders of killed runs, and end what still runs there. The caller holds the lock."""
    for parent in (cache(), OPEN):
        for folder in parent.glob(f"{PREFIX}*"):
            if is_own(folder) and not in_use(folder / "lock"):
                clear(folder)


def is_own(folder: Path) -> bool:
    """Return whether a folder is one of this user's: in /var/tmp everybody can make some of the same name."""
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()


def in_use(file: Path) -> bool:
    """Return whether a process holds a lock on a file."""
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
