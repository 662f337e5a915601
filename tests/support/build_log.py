"""Read the log of a build, as `docker compose build --progress plain` prints it."""

from __future__ import annotations


def step(log: str, command: str) -> list[str]:
    """Return the lines of the build step that runs `command`.

    BuildKit prints a step's first line again when it comes back to it from another one.
    """
    lines = [line.partition(" ") for line in log.splitlines()]
    [number] = {number for number, _, rest in lines if rest.startswith("[") and command in rest}
    return [rest for of, _, rest in lines if of == number]
