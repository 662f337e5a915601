"""Many runs of one project at once, and two users of one engine."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.engine import change_owner
from tests.support.light_project import empty
from tests.support.workers import CHECKOUT, report

# What a run does: some work with a real package, a file in both mounted folders, and its peak of memory.
WORK = """
import json, os, pathlib, sys
import numpy
number = int(sys.argv[1])
text = json.dumps({"sum": int(numpy.arange(number * 1000).sum()), "uid": os.getuid()})
pathlib.Path("outputs").mkdir(exist_ok=True)
for folder in ("outputs", "/cache"):
    pathlib.Path(folder, f"{number}.json").write_text(text)
for peak in ("memory.peak", "memory/memory.max_usage_in_bytes"):
    if (path := pathlib.Path("/sys/fs/cgroup", peak)).exists():
        print(path.read_text())
"""


@pytest.mark.serial
@pytest.mark.parametrize("runs", [20, pytest.param(50, marks=pytest.mark.nightly)])
def test_many_runs_at_once_are_as_many_right_results(
    project: BakedProject, image, docker, pytestconfig, runs
):
    change_owner(project.path, 1234, 5678, image)
    networks = {network.id for network in docker.network.list()}

    def run(number: int) -> subprocess.CompletedProcess[str]:
        return project.run("docker", "compose", "run", "--rm", "app", "-c", WORK, str(number))

    begin = time.monotonic()
    with ThreadPoolExecutor(runs) as pool:
        done = list(pool.map(run, range(runs)))
    seconds = time.monotonic() - begin

    assert [result.stderr for result in done if result.returncode] == []
    for number in range(runs):
        wanted = {"sum": sum(range(number * 1000)), "uid": 1234}
        for folder in ("outputs", ".cache"):
            path = project.path / folder / f"{number}.json"
            assert json.loads(path.read_text()) == wanted
            assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)
    ours = ("label", f"com.docker.compose.project=capy-test{CHECKOUT}")
    left = docker.container.list(all=True, filters=[ours])
    assert left == []
    assert len({network.id for network in docker.network.list()} - networks) <= 1  # the project's own
    peaks = [int(result.stdout) / 2**20 for result in done if result.stdout.strip()]
    memory = f"{statistics.median(peaks):.0f} MiB each (highest {max(peaks):.0f})" if peaks else "unknown"
    report(
        pytestconfig,
        f"load: {runs} runs at once in {seconds:.1f} s on {os.cpu_count()} cores, memory {memory}",
    )


@pytest.fixture
def users(built: BakedProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two checkouts of one project, each of a user of its own, on one engine."""
    monkeypatch.delenv("CHECKOUT", raising=False)  # each has one in its .env
    checkouts = []
    for name in ("one", "other"):
        checkout = empty(BakedProject(shutil.copytree(built.path, tmp_path / name / "capy-copy")))
        checkout.run("sh", "docker/write-env.sh")
        compose = checkout.path / "compose.yaml"
        compose.write_text(compose.read_text().replace("capy-test", "capy-copy"))
        checkouts.append(checkout)
    yield checkouts
    for checkout in checkouts:
        checkout.run("docker", "compose", "down", "--rmi", "local", "--timeout", "0")


def test_two_users_of_one_engine_do_not_disturb_each_other(users, image):
    """One takes down while the other one's container runs; both build at once, each an image of their own."""
    for number, checkout in enumerate(users):
        packages = checkout.path / "src/capy_test/whose.py"
        packages.write_text(f"WHOSE = {number}\n")
        change_owner(checkout.path, 2001 + number, 2001 + number, image)
    with ThreadPoolExecutor() as pool:
        built = list(pool.map(lambda one: one.run("docker", "compose", "build"), users))
    assert [result.stderr for result in built if result.returncode] == []
    names = [one.run("docker", "compose", "config", "--images", "app").stdout.strip() for one in users]
    assert len(set(names)) == 2

    inside = [  # what is in the image, not what is mounted
        subprocess.run(
            ["docker", "run", "--rm", name, "-c", "from capy_test.whose import WHOSE; print(WHOSE)"],
            capture_output=True,
            text=True,
        ).stdout
        for name in names
    ]
    assert inside == ["0\n", "1\n"]

    first, second = users
    started = first.run("docker", "compose", "up", "--detach", "--no-build", "app")
    waits = first.run("docker", "compose", "run", "--detach", "app", "sleep", "60")
    assert waits.returncode == 0, started.stderr + waits.stderr
    down = second.run("docker", "compose", "down", "--remove-orphans")
    assert down.returncode == 0, down.stderr
    running = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Running}}", waits.stdout.split()[-1]],
        capture_output=True,
        text=True,
    )
    subprocess.run(["docker", "rm", "--force", waits.stdout.split()[-1]], capture_output=True)
    assert running.stdout == "true\n"
