"""Run a test again if Docker Engine has lost a layer of its build cache, and report it.

With graph drivers, garbage collection during a build removes layers that the build still needs
(github.com/moby/buildkit/issues/5469). Each later build that finds the step in the cache then fails, too.
"""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.workers import report as say

LOST = re.compile(r"failed to prepare (\w+) as \w+: .*: no such file or directory")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the engine: where all tests are marked, each one waits 30 ms for the plugin."""
    again = pytest.mark.flaky(reruns=1, only_rerun=[LOST.pattern])
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(again)


def pytest_exception_interact(node: pytest.Item, call: pytest.CallInfo, report: pytest.TestReport) -> None:
    """Remove a step without its layer from the build cache, before pytest repeats the test."""
    if lost := LOST.search(str(call.excinfo.value)):
        forget(lost[1])
        say(
            node.config,
            f"ENGINE FAULT: the engine lost a layer of its build cache under {report.nodeid}: run again",
        )


def forget(record: str) -> None:
    """Remove one record of the build cache."""
    subprocess.run(
        ["docker", "buildx", "prune", "--force", "--all", "--filter", f"id={record}"],
        check=True,
        capture_output=True,
    )
