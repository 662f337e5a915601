"""The lock of every environment of every line: what uv would install from it on each processor."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from capy_template.matrix import MACHINES, load, unavailable, without_cuda
from compatibility.index import Target
from tests.conftest import BakedProject, generate
from tests.support.stand_ins import lock

MATRIX = load()
PAIRS = list(itertools.product(MATRIX["lines"], MATRIX["environments"]))
SERVED = [(line, environment) for line, environment in PAIRS if not unavailable(MATRIX, environment, line)]
QUICK = ("cu12-py312", "inference")  # no packages for a GPU on Arm, and none of PyTorch's


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("line", "environment"),
    [pytest.param(*pair, marks=() if pair == QUICK else pytest.mark.nightly) for pair in SERVED],
    ids=str,
)
def test_a_lock_can_be_installed_on_a_processor(line, environment, machine, pytorch, tmp_path):
    """For a GPU where the matrix says so; tests/generation/test_processors.py has the refusals."""
    project = generate(tmp_path, environment=environment, cuda=line)
    pytorch.use_in(project)
    lock(project)

    asked = {"cpu"} if without_cuda(MATRIX, environment, line, machine) else {"cpu", "nvidia"}
    found = {name: installed(project, name, platform_of(line, machine)) for name in asked}

    for name, packages in found.items():
        frameworks = {"onnxruntime", "onnxruntime-gpu", "torch"} & packages
        runtime = "onnxruntime" if name == "cpu" else "onnxruntime-gpu"
        wanted = {"onnxruntime": runtime, "torch": "torch"}
        by_image = {"torch"} if (environment, name) == ("training-ngc", "nvidia") else set()
        uses = set(MATRIX["environments"][environment]["packages"]) & set(wanted)
        assert frameworks == {wanted[use] for use in uses} - by_image


def platform_of(line: str, machine: str) -> str:
    """Return uv's name for a processor with the C library of a line."""
    return Target("", MATRIX["lines"][line]["ubuntu"]["value"], machine).platform


def installed(project: BakedProject, extra: str, platform: str) -> set[str]:
    """Return the packages that uv would install from the lock; it must have a file of each."""
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "sync", "--frozen", "--dry-run", "--no-install-project", "--extra", extra]
    command += ["--python-platform", platform]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^ \+ ([a-z0-9-]+)==", done.stderr, re.MULTILINE))
