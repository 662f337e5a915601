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
    """Compare VS Code's reference client on this project with the barest devcontainer.json; the image exists.

    Raises NotMeasured without the client.
    """
    if not CLIENT.exists() or not shutil.which("node"):
        raise NotMeasured("no client; it needs Node 20 or newer with npm, then `make bench` installs it")
    where = {"cwd": subjects.project, "env": subjects.environment}

    def timed(command: list[str], end: list[str]) -> float:
        taken = seconds(command, **where)
        output(end, **where)
        return taken

    output([*COMPOSE, "build"], **where)
    client = ["node", str(CLIENT), "up", "--workspace-folder"]
    up, down = [*client, str(subjects.project)], [*COMPOSE, "down", "--volumes", "--remove-orphans"]

    alone = subjects.folder / "alone"
    (alone / ".devcontainer").mkdir(parents=True)
    container = f"{subjects.run}-alone"  # the name and the label are for us: to remove it
    config = {"image": f"{subjects.run}:cpu-dev"}
    config["runArgs"] = ["--name", container, "--label", subjects.label]
    (alone / ".devcontainer/devcontainer.json").write_text(json.dumps(config))
    remove = ["docker", "rm", "--force", container]
    name = "devcontainer up; floor: a devcontainer.json with an image alone"
    ways = {PRODUCT: partial(timed, up, down), FLOOR: partial(timed, [*client, str(alone)], remove)}
    yield Row(name, "s", rounds.in_turn(name, ways), (Goal(1.5, FLOOR),))

    bare = subjects.folder / "bare/devcontainer.json"
    bare.parent.mkdir(exist_ok=True)
    bare.write_text(
        json.dumps({**BARE, "dockerComposeFile": [str(subjects.project / name) for name in FILES]})
    )
    name = "devcontainer up; floor: one with the same Compose files alone"
    ways = {PRODUCT: partial(timed, up, down)}
    ways[FLOOR] = partial(timed, [*up, "--override-config", str(bare)], down)
    yield Row(name, "s", rounds.in_turn(name, ways), (Goal(1.5, FLOOR),))
