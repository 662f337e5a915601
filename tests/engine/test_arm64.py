"""The images of all environments on Arm (linux/arm64), by QEMU: built, run, and their own tests passed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
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
INDEX = {"private_index": "https://pypi.example.com/simple", "private_packages": "private"}
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
def test_the_image_of_an_environment_works_on_arm(
    environment, settings, arm_pytorch, request, pytestconfig, tmp_path
):
    if environment == "training-ngc":
        settings = {**settings, "BASE_IMAGE": request.getfixturevalue("ngc_image")}
    project = generate(tmp_path, project=f"capy-env-arm64-{environment}", environment=environment)
    arm_pytorch.use_in(project)
    lock(project)

    few = () if environment == "inference" else ("--epochs", "2")  # each takes half a minute by QEMU
    steps = {
        "build": BUILD,
        "script.py": (*RUN, "script.py", *few),
        "doctor": (*RUN, "doctor"),
        "pytest": (*RUN, "pytest"),
    }
    printed, seconds = {}, {}

    try:
        for step, command in steps.items():
            begin = time.monotonic()
            printed[step] = succeed(project, *command, **settings)
            seconds[step] = time.monotonic() - begin
        machine = succeed(project, *RUN, "-c", "import platform; print(platform.machine())", **settings)
        image = succeed(project, "docker", "compose", "config", "--images", "app", **settings).strip()
        size = succeed(project, "docker", "image", "inspect", "--format={{.Size}}", image)
    finally:
        project.run("docker", "compose", "down", "--rmi", "local", **settings)
    took = ", ".join(f"{step} {value:.0f} s" for step, value in seconds.items())
    report(pytestconfig, f"arm64: {environment}: {took}; image of {int(size) / 1e6:.0f} MB")

    assert machine == "aarch64\n"
    results = re.findall(r"outputs/[\w.-]+", printed["script.py"])
    assert results
    assert {(project.path / name).stat().st_uid for name in results} == {os.getuid()}
    assert "PROBLEM" not in printed["doctor"]
    assert re.search(r"\d+ passed", printed["pytest"])


@pytest.mark.nightly
def test_the_tools_of_the_dev_container_work_on_arm(settings, tmp_path):
    """Every hook of the first commit, with the distribution's shellcheck, which is older than x86-64's.

    It is asked about the scripts that other answers have, too.
    """
    project = generate(tmp_path, project="capy-env-arm64-dev")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "First"]):
        subprocess.run([*GIT, *command], cwd=project.path, check=True)
    image = "capy-env-arm64-dev"
    build = ["docker", "build", "--network", "host"]  # an engine of its own may have no NAT
    build += ["--file", "docker/Dockerfile", "--target", "dev", "--tag", image]
    build += ["--platform", arm64.PLATFORM]
    for name in ("BASE_IMAGE", "ACCELERATOR"):
        build += ["--build-arg", f"{name}={settings[name]}"]
    if bundle := os.environ.get("CA_BUNDLE"):
        build += ["--secret", f"id=ca,src={bundle}"]
    more = generate(tmp_path / "more", project="capy-env-arm64-more", scale_out="ray-and-kubernetes", **INDEX)
    run = ["docker", "run", "--rm", "--platform", arm64.PLATFORM, "--volume"]
    hooks = [*run, f"{project.path}:/code", image]

    try:
        succeed(project, *build, ".")
        which = succeed(project, *hooks, "which", "shellcheck", "hadolint", "ruff")
        done = succeed(project, *hooks, "pre-commit", "run", "--all-files")
        scripts = [path.relative_to(more.path) for path in (more.path / "docker").glob("*.sh")]
        succeed(project, *run, f"{more.path}:/code", image, "shellcheck", *map(str, scripts))
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
