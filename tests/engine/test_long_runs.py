"""A script that runs for days: what its page types, on an engine of its own that stops and starts again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines.gpu_engine import GpuEngine, copy_image, gpu_engine, programs, second_daemon
from engines.steps import EngineError
from tests.conftest import BakedProject
from tests.support.engine import give_up

NAME = "longtest"
HOOK = Path(__file__).parent.parent / "support" / "nvidia-container-runtime-hook"
# As script.py: it ends at SIGTERM, and goes on from what it has written.
TRAINING = "echo start; echo x >> steps; [ $(wc -l < steps) -lt 3 ] || exit 0; exec sleep 1000"
pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def second(engine, light_image, pytestconfig) -> Iterator[GpuEngine]:
    """An engine that this file may stop, with the image of the project."""
    try:
        with gpu_engine(NAME, HOOK) as found:
            copy_image(light_image, engine, found)
            yield found
    except EngineError as error:
        give_up(pytestconfig, f"NO SECOND ENGINE: {error}")


@pytest.fixture
def training(light: BakedProject, second: GpuEngine, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """training(script): a container of `app`, started and kept as docs/long-runs.md says."""
    (light.path / "steps").unlink(missing_ok=True)

    def start(script: str) -> str:
        run = ["docker", "compose", "run", "--detach", "--name", "training", "app", "sh", "-c", script]
        done = light.run(*run, **second.env)
        assert done.returncode == 0, done.stderr
        second.docker("update", "--restart", "on-failure:5", "training")
        return "training"

    yield start
    if second.docker("ps", "--all", "--quiet"):
        second.docker("rm", "--force", "training")
    (light.path / "steps").unlink(missing_ok=True)


def reboot(second: GpuEngine) -> None:
    """Stop the engine and its containers, as a shutdown does, and start it again."""
    daemon = second_daemon(NAME)
    daemon.stop()
    daemon.start(programs()[0])


def state(second: GpuEngine, name: str) -> str:
    """Return whether a container runs, and its exit code."""
    return second.docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name).strip()


def wait_for(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.3)


def test_it_goes_on_after_each_reboot_until_it_has_ended(training, second):
    name = training(TRAINING)

    for starts in (1, 2):
        wait_for(lambda starts=starts: second.docker("logs", name).count("start") == starts)
        assert state(second, name) == "running 0"
        reboot(second)
    wait_for(lambda: state(second, name) == "exited 0")
    reboot(second)
    time.sleep(2)

    assert state(second, name) == "exited 0"
    assert second.docker("logs", name).count("start") == 3  # one log, over the reboots
    assert second.docker("wait", name).strip() == "0"


def test_one_that_was_stopped_comes_back_unless_it_is_removed(training, second):
    """The engine forgets a `docker stop` for this policy, so docs/long-runs.md says `docker rm`."""
    name = training("echo start; exec sleep 1000")
    wait_for(lambda: "start" in second.docker("logs", name))

    second.docker("stop", name)
    reboot(second)
    wait_for(lambda: second.docker("logs", name).count("start") == 2)
    second.docker("stop", name)
    second.docker("rm", name)
    reboot(second)

    assert second.docker("ps", "--all", "--quiet") == ""


def test_one_that_always_fails_ends_after_some_tries(training, second):
    name = training("echo start; sleep 2; exit 3")

    wait_for(lambda: state(second, name) == "exited 3" and second.docker("logs", name).count("start") >= 5)

    time.sleep(5)
    assert second.docker("logs", name).count("start") <= 6
