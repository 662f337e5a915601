"""What a killed run left on this machine is gone after the next one, and nothing that is in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import arm64, leftovers
from engines.steps import locked
from tests.support.waiting import ends, runs

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a lock of all engines")

# A run with a mount and a process of its own in its folder; it prints both.
RUN = """
import subprocess, sys, time
from engines.leftovers import running_folder
with running_folder("leftovertest") as folder:
    (folder / "root").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder / "root"], check=True)
    wait = [sys.executable, "-c", "import time; time.sleep(60)", folder]
    nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(wait, start_new_session=True, **nothing)
    print(folder, process.pid, flush=True)
    sys.stdin.read()
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, Path, str]]:
    """A run that goes on, its folder, and the id of its process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    folder, pid = process.stdout.readline().split()
    yield process, Path(folder), pid
    process.communicate()  # the end of its input is its end


@pytest.mark.parametrize("killed", [True, False])
def test_a_folder_goes_with_what_runs_in_it_once_its_run_is_dead(started, killed, tmp_path, monkeypatch):
    process, folder, child = started
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if killed:
        process.send_signal(signal.SIGKILL)
        process.wait()

    with locked():
        leftovers.remove_leftovers()

    assert ends(child) if killed else runs(child)
    assert folder.exists() is not killed
    assert (str(folder) in Path("/proc/self/mountinfo").read_text()) is not killed


def test_a_run_that_ends_leaves_nothing(started):
    process, folder, child = started

    process.communicate()

    assert process.returncode == 0
    assert ends(child)
    assert not folder.exists()


@pytest.mark.parametrize("killed", [True, False])
def test_the_kernel_s_rule_for_arm_goes_once_its_run_is_dead(killed, tmp_path, monkeypatch):
    """With a folder of our own in the place of the kernel's."""
    (tmp_path / arm64.NAME).write_text("enabled\n")
    monkeypatch.setattr(arm64, "BINFMT", tmp_path)
    monkeypatch.setattr(arm64, "lock_file", lambda: tmp_path / "lock")
    holder = subprocess.Popen(
        ["flock", tmp_path / "lock", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdin.write(b"x")
    holder.stdin.flush()
    holder.stdout.read(1)  # it has the lock
    if killed:
        holder.stdin.close()
        holder.wait()

    with locked():
        arm64.forget_unless_in_use()

    assert (tmp_path / arm64.NAME).read_text() == ("-1" if killed else "enabled\n")
    holder.stdin.close()
    holder.wait()
