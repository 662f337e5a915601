"""The bench as a program: what it prints, how it fails, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import TEMPLATE

# tests/generation/test_benchmarks.py looks at its code. Serial: a build beside it changes the build cache.
pytestmark = [pytest.mark.nightly, pytest.mark.serial]

BENCH = [sys.executable, "-m", "benchmarks"]
NOWHERE = "http://127.0.0.1:9/simple"  # nobody listens on the port of `discard`
ALL = ("--all", "--format", "{{.ID}}")


@pytest.fixture
def everything(base, docker):
    """everything(): what the engine holds."""

    def look() -> dict[str, set[str]]:
        asked = {
            "containers": ["ps", *ALL],
            "images": ["images", *ALL],
            "volumes": ["volume", "ls", "--quiet"],
            "networks": ["network", "ls", "--quiet"],
            # without the layers of an image, which it counts from the first build on top of that
            "build cache": ["buildx", "du", "--format", "{{if not .Shared}}{{.ID}}{{end}}"],
        }
        return {
            name: set(subprocess.run(["docker", *command], capture_output=True, text=True).stdout.split())
            for name, command in asked.items()
        }

    return look


def assert_nothing_is_left(after: dict[str, set[str]], before: dict[str, set[str]]) -> None:
    """Compare what the engine holds. Its own garbage collector may take from the build cache meanwhile."""
    cache = "build cache"
    assert after[cache] - before[cache] == set()
    assert {**after, cache: None} == {**before, cache: None}


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the bench as `make bench` does."""
    return subprocess.run(
        [*BENCH, *arguments], cwd=TEMPLATE, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_a_run_prints_every_value_and_leaves_nothing(everything):
    before = everything()

    done = bench("generation", "writes", "--rounds", "1", "--json")

    *generation, writes = json.loads(done.stdout)["rows"]
    assert len(generation) == 3
    for row in generation:
        assert {way: len(values) for way, values in row["values"].items()} == {"product": 1, "other": 1}
        assert row["how"] == "measured"
    assert writes["values"]["product"][0] < 64 < writes["values"]["guide"][0]
    assert_nothing_is_left(everything(), before)
    assert done.returncode == 0, done.stderr
    assert "bench: disk writes of one start" in done.stderr


def test_a_command_that_fails_ends_the_run_with_its_reason(everything):
    before = everything()

    done = bench("size", "--rounds", "1", PUBLIC_INDEX_URL=NOWHERE)

    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "building the product's image: " in line], (
        done.stderr
    )
    assert "Traceback" not in done.stderr
    assert_nothing_is_left(everything(), before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_a_run_that_is_ended_removes_what_it_made(everything, number):
    before = everything()
    process = subprocess.Popen(
        [*BENCH, "size"],
        cwd=TEMPLATE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as in a terminal, where Ctrl-C reaches the whole group
        # who runs the tests in the background (`&`, a CI runner) may have told everybody to ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    printed = ""
    while "building the product's image" not in printed:
        printed += process.stderr.readline()

    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, rest = process.communicate(timeout=300)  # a large build cache takes its time

    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert "removing what the bench made" in rest
    assert "Traceback" not in rest
    assert_nothing_is_left(everything(), before)


def test_a_question_that_does_not_exist_is_refused():
    done = bench("start", "speed")

    assert done.returncode == 2
    assert "speed" in done.stderr
    assert "devcontainer" in done.stderr, "it does not say what there is"
