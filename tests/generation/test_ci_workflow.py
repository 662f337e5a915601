"""The CI workflow of a project with a private index: who gets its password, and who its packages' names."""

from __future__ import annotations

import copy
import re
import subprocess

import pytest
import yaml

from tests.conftest import generate


@pytest.fixture(scope="module")
def workflow(no_engine, tmp_path_factory) -> dict:
    """The workflow of a project with private packages."""
    project = generate(
        tmp_path_factory.mktemp("ci"),
        private_index="https://pypi.example.com/simple",
        private_packages="in-house-package,in-house-tool",
    )
    return yaml.safe_load(project.read(".github/workflows/ci.yaml"))


@pytest.fixture
def steps(workflow) -> dict[str, dict]:
    """Its steps, by their names."""
    return {step["name"]: step for step in workflow["jobs"]["test"]["steps"] if "name" in step}


def test_only_the_build_has_the_password(workflow):
    """Each later step runs code of packages, which may change the files that the next one reads."""
    rest = copy.deepcopy(workflow)
    job = rest["jobs"]["test"]
    [build] = [step for step in job["steps"] if step.get("name") == "Build the images"]
    job["steps"].remove(build)

    assert "secrets.PYPI_PASSWORD" in str(build)
    assert "secrets" not in str(rest)  # nor in an `env:` of the workflow or of the job


def test_the_build_makes_every_image_that_a_later_step_runs(steps):
    """`run` builds an image that is missing, and would need the password for it."""
    lines = [line for step in steps.values() for line in step.get("run", "").splitlines()]
    built, run = (
        {found[1] for line in lines if (found := re.match(f"(docker compose.*?) {command} ", line))}
        for command in ("build", "run")
    )

    assert len(run) == 2
    assert run == built


def test_the_names_of_private_packages_are_not_sent_to_the_scanner(steps):
    sed = re.search(r"\| (sed .*?) >", steps["Check for known vulnerabilities"]["run"])[1]

    done = subprocess.run(
        ["sh", "-c", sed],
        input="numpy==1.0\nin-house-package==1.0\nin-house-tool==2.0\nin-house-tool-2==2.0\ntorch==2.14.1+cpu\n",
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == ["numpy==1.0", "in-house-tool-2==2.0", "torch==2.14.1"]
