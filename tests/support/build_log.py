"""Read the log of a build, as `docker compose build --progress plain` prints it."""

from __future__ import annotations

import re


def is_cached(log: str, pattern: str) -> bool:
    """Return whether a build took the one step that matches `pattern`, `[STAGE 2/3] COMMAND`, from its cache.

    BuildKit prints a step's first line again when it comes back to it from another one.
    """
    lines = [line.partition(" ") for line in log.splitlines()]
    [number] = {number for number, _, rest in lines if rest.startswith("[") and re.search(pattern, rest)}
    return (number, " ", "CACHED") in lines
