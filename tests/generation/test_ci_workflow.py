"""The CI workflow of a project with a private index: who gets its password, and who its packages' names."""

from __future__ import annotations

import copy
import os
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


def test_dependabot_s_own_secrets_are_asked_for(no_engine, tmp_path):
    """Its pull requests get no others, so without them every one of them would fail."""
    project = generate(tmp_path, private_index="https://pypi.example.com/simple")

    assert project.read(".github/dependabot.yml")
    for file in (".github/workflows/ci.yaml", "docs/private-index.md"):
        assert "Dependabot secrets alone: add both there" in project.read(file), file


def test_the_build_makes_every_image_that_a_later_step_runs(steps):
    """`run` builds an image that is missing, and would need the password for it."""
    lines = [line for step in steps.values() for line in step.get("run", "").splitlines()]
    built, run = (
        {found[1] for line in lines if (found := re.match(f"(docker compose.*?) {command} ", line))}
        for command in ("build", "run")
    )

    assert len(run) == 2
    assert run == built


@pytest.mark.parametrize("packages", ["in-house-package,in-house-tool", ""])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_names_of_private_packages_are_not_sent_to_the_scanner(tmp_path, language, packages):
    """Those of today's pyproject.toml: a package is added long after the project was generated."""
    answers = {"private_packages": packages, "environment": "training", "readme_language": language}
    project = generate(tmp_path, private_index="https://pypi.example.com/simple", **answers)
    toml = project.path / "pyproject.toml"
    added = '[tool.uv.sources]\nadded-later = { index = "private" }\n"Also.Added" = [{ index = "private" }]\n'
    toml.write_text(toml.read_text().replace("[tool.uv.sources]\n", added))
    freeze = ["-e file:///code", "numpy==1.0", "torch==2.14.1+cpu", "in-house-tool-2==2.0"]
    private = ["added-later==1.0", "also-added==1.0", "in-house-package==1.0", "in-house-tool==2.0"]
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(f"'{line}'" for line in [*freeze, *private]))
    uv.chmod(0o755)

    sent = []
    for page in (".github/workflows/ci.yaml", "docs/deploy.md"):
        command = re.search(r"sh -c '(uv pip freeze .*?) > /tmp/packages.txt", project.read(page))[1]
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=project.path,
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        sent.append(done.stdout.split())

    public = ["numpy==1.0", "torch==2.14.1", "in-house-tool-2==2.0"]
    others = [] if packages else private[2:]  # no package of this project's index
    assert sent == [[*public, *others]] * 2
