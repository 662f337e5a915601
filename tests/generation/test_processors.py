"""A project on x86-64 and on Arm: a build for a GPU that Arm has no packages for is refused at once."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from capy_template.matrix import MACHINES, load, stack, unavailable, without_cuda
from tests.conftest import BakedProject

SERVED = [
    (environment, line)
    for environment in load()["environments"]
    for line in load()["lines"]
    if not unavailable(load(), environment, line)
]


def first_step(project: BakedProject, accelerator: str, machine: str, folder: Path) -> list[str]:
    """Run what the build runs before anything else, on a processor; return what it says."""
    found = re.search(r"AS processor\n.*?^RUN (.*?[^\\])$", project.read("docker/Dockerfile"), re.M | re.S)
    script = found[1].replace("/has-packages", f"{folder}/has-packages") if found else "true"
    (folder / "uname").write_text(f"#!/bin/sh\necho {machine}\n")
    (folder / "uname").chmod(0o755)
    settings = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ACCELERATOR": accelerator}
    done = subprocess.run(["bash", "-c", script], env=settings, capture_output=True, text=True)
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr.splitlines()


@pytest.mark.parametrize(("environment", "line"), SERVED, ids=str)
def test_a_build_is_refused_where_a_processor_has_no_packages_for_its_gpu(bake, tmp_path, environment, line):
    project = bake(environment=environment, cuda=line)

    for machine in MACHINES:
        said = first_step(project, "nvidia", machine, tmp_path)
        if without_cuda(load(), environment, line, machine):
            (text,) = said
            assert "cuda=cu13-py312" in text
            assert "ACCELERATOR=cpu" in text
        else:
            assert said == []
        assert first_step(project, "cpu", machine, tmp_path) == []


def test_nothing_of_a_build_runs_before_that_step(bake):
    """Each stage comes from `system`, whose first step needs the step's file."""
    text = bake(environment="full", cuda="cu12-py312").read("docker/Dockerfile")
    system = text.partition("AS system\n")[2]
    sources = re.findall(r"^FROM (\S+) AS (\S+)", text, re.MULTILINE)

    assert [name for source, name in sources if source == "${BASE_IMAGE}"] == ["processor", "system"]
    assert "from=processor" in system[: system.index("apt-get")]


@pytest.mark.parametrize(("environment", "line"), SERVED, ids=str)
def test_a_lock_is_for_both_processors_and_onnxruntime_for_a_gpu_for_those_that_have_it(
    bake, environment, line
):
    data = tomllib.loads(bake(environment=environment, cuda=line).read("pyproject.toml"))

    required = data["tool"]["uv"]["required-environments"]
    assert [re.search(r"platform_machine == '(\w+)'", text)[1] for text in required] == list(MACHINES)
    asked = [
        *data["project"]["optional-dependencies"]["nvidia"],
        *data["tool"]["uv"]["override-dependencies"],
    ]
    architectures = stack(environment, line).facts["onnxruntime_architectures"]
    for requirement in map(Requirement, asked):
        for machine in MACHINES:
            if requirement.name == "onnxruntime-gpu" and requirement.marker:
                there = requirement.marker.evaluate({"platform_machine": machine, "extra": "nvidia"})
                assert there == bool(architectures[machine])
