"""Measure the start of VS Code's dev container."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial

from benchmarks.measuring import NotMeasured, Rounds, output, seconds
from benchmarks.results import FLOOR, PRODUCT, Goal, Row
from benchmarks.subjects import TEMPLATE, Subjects

CLIENT = TEMPLATE / "tests/devcontainer/node_modules/@devcontainers/cli/devcontainer.js"
FILES = ("compose.yaml", ".devcontainer/compose.yaml")
COMPOSE = ["docker", "compose", *(word for name in FILES for word in ("--file", name))]
# The client's defaults: no user, no ids, no command, no variable.
BARE = {"service": "app", "workspaceFolder": "/code", "overrideCommand": False, "updateRemoteUserUID": False}


def devcontainer(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Compare VS Code's reference client with Compose alone, with an image and without a container.

    Raises NotMeasured without the client.
    """
    if not CLIENT.exists() or not shutil.which("node"):
        raise NotMeasured("no client; it needs Node 20 or newer with npm, then `make bench` installs it")
    where = {"cwd": subjects.project, "env": subjects.environment}

    def timed(command: list[str]) -> float:
        taken = seconds(command, **where)
        output([*COMPOSE, "down", "--volumes", "--remove-orphans"], **where)
        return taken

    output([*COMPOSE, "build"], **where)
    up = ["node", str(CLIENT), "up", "--workspace-folder", str(subjects.project)]
    ways = {PRODUCT: partial(timed, up), FLOOR: partial(timed, [*COMPOSE, "up", "--detach"])}
    yield Row("devcontainer up", "s", rounds.in_turn("devcontainer up", ways), (Goal(1.5, FLOOR),))

    bare = subjects.folder / "bare/devcontainer.json"
    bare.parent.mkdir(exist_ok=True)
    bare.write_text(
        json.dumps({**BARE, "dockerComposeFile": [str(subjects.project / name) for name in FILES]})
    )
    name = "devcontainer up, beside the barest devcontainer.json"
    ways = {PRODUCT: partial(timed, up), FLOOR: partial(timed, [*up, "--override-config", str(bare)])}
    yield Row(name, "s", rounds.in_turn(name, ways))
