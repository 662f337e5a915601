"""Errors that a user can mend: scripts print them in one line, and all others with a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something that the user gave cannot be used; the text says what and why."""


@contextmanager
def in_one_line(script: str) -> Iterator[None]:
    """End `script` with one line for a UserError, or for a file that cannot be read or written."""
    try:
        yield
    except UserError as error:
        sys.exit(f"{script}: {error}")
    except OSError as error:
        if not (error.filename and error.strerror):  # not of a file, such as a lost connection
            raise
        sys.exit(f"{script}: {error.filename}: {error.strerror}")
