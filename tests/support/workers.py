"""Schedule tests on several workers with one engine, and collect their reports for the summary."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1 …; empty without workers
CHECKOUT = f"-{WORKER}" if WORKER else ""
REPORT = pytest.StashKey[list[str]]()
ENGINE_USED = pytest.StashKey[bool]()  # by this process or by one of its workers
TESTS = Path(__file__).parent.parent


def report(config: pytest.Config, line: str) -> None:
    """Print `line` now and again in the summary."""
    config.stash.setdefault(REPORT, []).append(line)
    print(line)


def image_of(project: str, accelerator: str = "cpu") -> str:
    """Return the name of a project's image, which compose.yaml derives from CHECKOUT."""
    return f"{project}{CHECKOUT}:{accelerator}"


# The longest first, so that no worker is left with one of them at the end.
LONGEST = (
    *("devcontainer", "test_ray.py", "test_environments", "test_private_index"),
    *("test_updates", "test_uv_private_packages", "test_origin", "test_interrupts", "test_packages_page"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files that take longest to the start."""
    items.sort(
        key=lambda item: next((i for i, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST))
    )


class ByFile(LoadFileScheduling):
    """Keep a file's tests on one worker, and all dev container tests, which share users of the host."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "devcontainer" if "/devcontainer/" in file else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile | None:
    """Schedule `--dist loadfile` as above."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send a worker's lines to the process that prints the summary."""
    if WORKER:
        stash = session.config.stash
        session.config.workeroutput |= {
            "report": stash.get(REPORT, []),
            "engine used": stash.get(ENGINE_USED, False),
        }


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """Receive a worker's lines, without duplicates."""
    lines = node.config.stash.setdefault(REPORT, [])
    output = getattr(node, "workeroutput", {})  # a crashed worker has none
    lines += [line for line in output.get("report", []) if line not in lines]
    if output.get("engine used"):
        node.config.stash[ENGINE_USED] = True


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Print the engine and the base image of the tests, and how to run failed tests again."""
    for line in config.stash.get(REPORT, []):
        terminalreporter.write_line(line, yellow=True)
    python = os.path.relpath(sys.executable)
    for failed in terminalreporter.getreports("failed") + terminalreporter.getreports("error"):
        line = f"to run it again: {python} -m pytest {shlex.quote(failed.nodeid)}"
        terminalreporter.write_line(line, red=True)
