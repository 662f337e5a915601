"""Run the supervisor script of docs/hosts.md, and stop it as a supervisor does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.launchers import WAIT_SECONDS
from tests.support.probes import PATIENT
from tests.support.waiting import within

HOSTS = Path(__file__).parent.parent.parent / "docs/hosts.md"


def write_script(project: Path) -> Path:
    """Write the page's script into a project, with a script that it runs."""
    text = HOSTS.read_text().partition("\n## Start it from a supervisor\n")[2]
    found = re.search(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (project / "supervised.sh").write_text(found[1])
    (project / "script.py").write_text(PATIENT)
    (project / "outputs").mkdir(exist_ok=True)
    return project / "supervised.sh"


def start(project: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the page's script as a supervisor does, and wait until the container's script is ready.

    Raises AssertionError if it does not start.
    """
    for name in ("ready", "saved"):
        (project / "outputs" / name).unlink(missing_ok=True)
    process = subprocess.Popen(
        ["sh", write_script(project)],
        cwd="/",
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if not within(WAIT_SECONDS, (project / "outputs/ready").exists):
        end(process)
        raise AssertionError(f"the script did not start: {process.stderr.read()[-300:]}")
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kill the process and its children, if they still run."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
