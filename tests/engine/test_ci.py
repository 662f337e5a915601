"""The generated project's CI, as its runner would run it: each step's command, in a clone, on the engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.conftest import BakedProject, generate
from tests.support.workers import report

GIT = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
STEPS = [
    "Build the images",
    "Run the tests",
    "Run the doctor",
    "Run the example",
    "Run the example in the image for production",
    "Check for known vulnerabilities",
    "Lint",
]


def test_every_step_passes_on_the_first_push(base, tmp_path, pytestconfig):
    checkout = push(generate(tmp_path, project="capy-ci"), tmp_path / "runner/capy-ci")
    workflow = yaml.safe_load(checkout.read(".github/workflows/ci.yaml"))

    steps = [step for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    passed = [step["name"] for step in steps if run(checkout, step, workflow["env"])]

    assert passed == STEPS
    # the versions that were tested; a project without a lock file has one from its first run on
    assert checkout.run("git", "status", "--porcelain").stdout == "?? uv.lock\n"
    report(pytestconfig, f"the generated project's CI, step by step: {', '.join(passed)}")


FAULTS = {
    "script.py": ("import os\n", "ruff check"),
    "docker/entrypoint.sh": ("rm $1\n", "shellcheck"),
    "docker/Dockerfile": ("RUN cd /tmp\n", "hadolint"),
    "docker/accelerator-nvidia.yaml": ("service: {}\n", "Compose schema"),
    ".github/workflows/ci.yaml": ("job: {}\n", "GitHub workflow schema"),
}


def test_a_push_with_faults_is_refused_and_each_is_named_by_its_hook(base, tmp_path):
    """After the test above, whose image this finds in the cache; each hook reads its own kind of file."""
    project = generate(tmp_path, project="capy-ci")
    workflow = yaml.safe_load(project.read(".github/workflows/ci.yaml"))
    for file, (fault, _) in FAULTS.items():
        (project.path / file).write_text(project.read(file) + fault)
    checkout = push(project, tmp_path / "runner/capy-ci")
    lint = next(step for step in workflow["jobs"]["test"]["steps"] if step.get("name") == "Lint")

    done = start(checkout, lint, workflow["env"])

    assert done.returncode != 0
    failed = re.findall(r"(?m)^(.+?)\.+Failed$", done.stdout)
    assert {hook for _, hook in FAULTS.values()} <= set(failed), done.stdout + done.stderr


def push(project: BakedProject, runner: Path) -> BakedProject:
    """Commit the project and clone it, as actions/checkout does for a push."""
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "First"]):
        subprocess.run([*GIT, *command], cwd=project.path, check=True)
    subprocess.run(["git", "clone", "--quiet", str(project.path), str(runner)], check=True)
    return BakedProject(runner)


def run(checkout: BakedProject, step: dict, environment: dict[str, str]) -> bool:
    """Run a step; say what went wrong. Returns whether it passed."""
    done = start(checkout, step, environment)
    if done.returncode:
        print(f"{step['name']}: {done.stdout}{done.stderr}")
    return done.returncode == 0


def start(
    checkout: BakedProject, step: dict, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a step's command as GitHub's runner does: by bash, with the environments of workflow and step."""
    variables = environment | step.get("env", {})
    return checkout.run("bash", "-e", "-o", "pipefail", "-c", step["run"], **variables)
