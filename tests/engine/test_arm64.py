"""The images of all environments on Arm (linux/arm64), by QEMU: built, run, and their own tests passed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator

import pytest

from capy_template.matrix import load
from engines import arm64
from engines.engine import Engine
from engines.steps import EngineError
from tests.conftest import BakedProject, generate
from tests.support.engine import give_up
from tests.support.stand_ins import NGC_STAND_IN, build_image, lock, recipe
from tests.support.workers import report

RUN = ("docker", "compose", "run", "--rm", "app")
BUILD = ("docker", "compose", "build", "--progress", "plain")
GIT = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]


@pytest.fixture(scope="module")
def settings(engine: Engine, pytestconfig: pytest.Config) -> Iterator[dict[str, str]]:
    """What docker is told, so that it builds and runs for Arm, on a small Debian of that processor."""
    if platform.machine() == "aarch64":
        pytest.skip("this machine is one: every other test is on Arm here")
    try:
        with arm64.emulated():
            base = arm64.base(engine)
            report(pytestconfig, f"STAND-IN: on Arm the tests ran by QEMU, on {base}")
            yield {"DOCKER_DEFAULT_PLATFORM": arm64.PLATFORM, "ACCELERATOR": "cpu", "BASE_IMAGE": base}
    except EngineError as error:
        give_up(pytestconfig, f"NO ARM: {error}")


@pytest.fixture(scope="module")
def ngc_image(settings, arm_pytorch) -> str:
    """A stand-in for NVIDIA's PyTorch image on Arm."""
    packages = f"torch=={arm_pytorch.version} torchvision=={arm_pytorch.vision}"
    arguments = [f"BASE={settings['BASE_IMAGE']}", f"TORCH_INDEX={arm_pytorch.index}", f"PACKAGES={packages}"]
    image = f"{NGC_STAND_IN}-arm64"
    return build_image(recipe("ngc-stand-in"), image, *arguments, network="host", platform=arm64.PLATFORM)


@pytest.mark.nightly
@pytest.mark.parametrize("environment", load()["environments"])
def test_the_image_of_an_environment_works_on_arm(environment, settings, arm_pytorch, request, tmp_path):
    if environment == "training-ngc":
        settings = {**settings, "BASE_IMAGE": request.getfixturevalue("ngc_image")}
    project = generate(tmp_path, project=f"capy-env-arm64-{environment}", environment=environment)
    arm_pytorch.use_in(project)
    lock(project)

    try:
        succeed(project, *BUILD, **settings)
        machine = succeed(project, *RUN, "-c", "import platform; print(platform.machine())", **settings)
        output = succeed(project, *RUN, "script.py", **settings)
        findings = succeed(project, *RUN, "doctor", **settings)
        tests = succeed(project, *RUN, "pytest", **settings)
    finally:
        project.run("docker", "compose", "down", "--rmi", "local", **settings)

    assert machine == "aarch64\n"
    results = re.findall(r"outputs/[\w.-]+", output)
    assert results
    assert {(project.path / name).stat().st_uid for name in results} == {os.getuid()}
    assert "PROBLEM" not in findings
    assert re.search(r"\d+ passed", tests)


@pytest.mark.nightly
def test_the_tools_of_the_dev_container_work_on_arm(settings, tmp_path):
    """Every hook of the first commit, with the distribution's shellcheck."""
    project = generate(tmp_path, project="capy-env-arm64-dev")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "First"]):
        subprocess.run([*GIT, *command], cwd=project.path, check=True)
    image = "capy-env-arm64-dev"
    build = ["docker", "build", "--file", "docker/Dockerfile", "--target", "dev", "--tag", image]
    build += ["--platform", arm64.PLATFORM]
    for name in ("BASE_IMAGE", "ACCELERATOR"):
        build += ["--build-arg", f"{name}={settings[name]}"]
    if bundle := os.environ.get("CA_BUNDLE"):
        build += ["--secret", f"id=ca,src={bundle}"]
    hooks = [
        "docker",
        "run",
        "--rm",
        "--platform",
        arm64.PLATFORM,
        "--volume",
        f"{project.path}:/code",
        image,
    ]

    try:
        succeed(project, *build, ".")
        which = succeed(project, *hooks, "which", "shellcheck", "hadolint", "ruff")
        done = succeed(project, *hooks, "pre-commit", "run", "--all-files")
    finally:
        project.run("docker", "image", "rm", "--force", image)

    assert which == "/usr/bin/shellcheck\n/opt/venv/bin/hadolint\n/opt/venv/bin/ruff\n"
    assert re.search(r"shellcheck\.+Passed", done), done
    assert "Failed" not in done


@pytest.mark.nightly
@pytest.mark.parametrize("environment", ["inference", "training", "full"])
def test_a_build_for_a_gpu_that_arm_has_no_packages_for_is_refused_before_it_downloads_any(
    environment, settings, tmp_path
):
    project = generate(
        tmp_path, project=f"capy-env-arm64-{environment}", environment=environment, cuda="cu12-py312"
    )

    done = project.run(*BUILD, **{**settings, "ACCELERATOR": "nvidia"})

    log = done.stdout + done.stderr
    said = [line for line in log.splitlines() if re.search(r"^#\d+ [\d.]+ ACCELERATOR=nvidia: ", line)]
    assert done.returncode != 0
    assert len(said) == 1, log
    assert "cuda=cu13-py312, or set ACCELERATOR=cpu in .env" in said[0]
    assert not re.search(r"Get:\d|Downloading|Resolved", log)


def succeed(project: BakedProject, *command: str, **settings: str) -> str:
    """Run a command in the project and return what it said on stdout; it must not fail."""
    done = project.run(*command, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
