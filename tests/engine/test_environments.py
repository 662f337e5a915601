"""Every environment of every line: generated and locked; built, run, and asked whether its versions match.

The table at the end of the tests' output is made here.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
from cookiecutter.exceptions import FailedHookException

from capy_template.matrix import load, unavailable
from tests.conftest import TEMPLATE, BakedProject, generate
from tests.support.engine import change_owner
from tests.support.stand_ins import ON_THE_HOST, lock
from tests.support.workers import image_of, report

MATRIX = load()
PAIRS = list(itertools.product(MATRIX["lines"], MATRIX["environments"]))
SERVED = [(line, environment) for line, environment in PAIRS if not unavailable(MATRIX, environment, line)]
DEFAULT = json.loads((TEMPLATE / "cookiecutter.json").read_text())["cuda"][0]
# In `make test`, too. test_ray.py has `full` with Ray; `inference` is the default project of most files.
BUILT = {(DEFAULT, environment) for environment in ("training", "training-ngc")}
# The projects' own tests run for each pair of answers; all at no is the default project of other tests.
ANSWERS = {
    "cu13-py312": {"notebook": True},
    "cu12-py312": {"scale_out": "ray"},
    "cu12-py310": {"notebook": True, "scale_out": "ray"},
}
STEPS = ("generates", "locks", "builds", "runs", "doctor")


@pytest.fixture(scope="module", autouse=True)
def table(pytestconfig: pytest.Config) -> Iterator[dict[tuple[str, str], list[str]]]:
    """The steps that each pair got through; reported as a table."""
    rows: dict[tuple[str, str], list[str]] = {}
    yield rows
    report(pytestconfig, f"{'line':<12} {'environment':<14} {' '.join(f'{step:<9}' for step in STEPS)}")
    for (line, environment), done in rows.items():
        marks = done if done == ["refused"] else ["yes" if step in done else "-" for step in STEPS]
        report(pytestconfig, f"{line:<12} {environment:<14} {' '.join(f'{mark:<9}' for mark in marks)}")


@pytest.mark.parametrize(("line", "environment"), PAIRS, ids=str)
def test_an_environment_of_a_line_is_generated_and_locked_or_refused(
    line, environment, pytorch, tmp_path, table
):
    done = table.setdefault((line, environment), [])
    if (line, environment) not in SERVED:
        with pytest.raises(FailedHookException, match="is not available"):
            generate(tmp_path, environment=environment, cuda=line)
        assert not any(tmp_path.iterdir())
        done.append("refused")
        return

    project = generated(line, environment, pytorch, tmp_path)
    done.append("generates")
    lock(project)
    done.append("locks")


def generated(line, environment, pytorch, tmp_path) -> BakedProject:
    """Return a project of a line, the same one for each test of a pair."""
    answers = {"environment": environment, "cuda": line, **ANSWERS[line]}
    project = generate(tmp_path, project=f"capy-env-{environment}", **answers)
    pytorch.use_in(project)
    return project


def made(line, environment, pytorch, request, tmp_path) -> tuple[BakedProject, dict[str, str]]:
    """Return a project of a line, locked, and the settings of its builds and runs."""
    settings = {"ACCELERATOR": "cpu"}
    if environment == "training-ngc":
        settings["BASE_IMAGE"] = request.getfixturevalue("ngc_image")
    project = generated(line, environment, pytorch, tmp_path)
    lock(project)
    return project, settings


@pytest.mark.parametrize(
    ("line", "environment"),
    [pytest.param(*pair, marks=() if pair in BUILT else pytest.mark.nightly) for pair in SERVED],
    ids=str,
)
def test_an_environment_of_a_line_works_and_its_versions_match(
    line, environment, base, pytorch, request, tmp_path, table
):
    """Without a GPU, so with the packages for a CPU; the stand-ins are named in the summary."""
    done = table.setdefault((line, environment), [])
    project, settings = made(line, environment, pytorch, request, tmp_path)

    try:
        succeed(project, "docker", "compose", "build", "--progress", "plain", **settings)
        done.append("builds")

        if environment == "training":
            output = assert_a_stopped_training_goes_on(project, settings)
        else:
            epochs = ["--epochs", "2"] if environment == "training-ngc" else []
            output = succeed(project, *RUN, "script.py", *epochs, **settings)
        assert_the_result_is_the_owner_s(project, environment, output)
        done.append("runs")

        findings = succeed(project, *RUN, "doctor", **settings)
        assert "PROBLEM" not in findings
        done.append("doctor")

        if (line, environment) not in BUILT:
            succeed(project, *RUN, "pytest", **settings)
        if environment == "training":
            quick = QUICK if (line, environment) in BUILT else ()
            assert_torch_compiles_as_anybody_and_once(project, settings, *quick)
        if environment == "training-ngc":
            assert_what_the_image_brings_is_used(project, settings)
    finally:
        project.run("docker", "compose", "down", "--rmi", "local", **settings)


@pytest.mark.nightly
@pytest.mark.parametrize(("line", "environment"), sorted(BUILT), ids=str)
def test_its_project_s_own_tests_pass(line, environment, base, pytorch, request, tmp_path):
    """In `make test` those of `full`, which has them all: test_ray.py."""
    project, settings = made(line, environment, pytorch, request, tmp_path)

    try:
        succeed(project, *RUN, "pytest", **settings)
    finally:
        project.run("docker", "compose", "down", "--rmi", "local", **settings)


@pytest.mark.nightly
@pytest.mark.parametrize("environment", [name for name in MATRIX["environments"] if name != "inference"])
def test_packages_in_c_from_git_and_from_source_are_in_the_build_of(
    environment, base, pytorch, git_server, uv, request, tmp_path
):
    """Of `inference`, too: tests/engine/test_added_packages.py."""
    settings = {"ACCELERATOR": "cpu"}
    if environment == "training-ngc":
        settings["BASE_IMAGE"] = request.getfixturevalue("ngc_image")
    project = generate(tmp_path, project=f"capy-env-{environment}", environment=environment)
    pytorch.use_in(project)
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    # webrtcvad has no wheel; frozen, since `uv add` wants the stand-in's wheel of PyTorch for every Python
    uv(project, "add", "--frozen", "--raw", f"fromgit @ git+{git_server}", "webrtcvad")
    lock(project)

    try:
        succeed(project, "docker", "compose", "build", "--progress", "plain", **settings)
        succeed(project, *RUN, "-c", "import fromgit, _webrtcvad", **settings)
        findings = succeed(project, *RUN, "doctor", **settings)
    finally:
        project.run("docker", "compose", "down", "--rmi", "local", **settings)

    assert "PROBLEM" not in findings


def test_nvidia_s_image_without_cuda_in_its_pytorch_is_refused(ngc_image, pytorch, tmp_path):
    project = generate(tmp_path, project="capy-env-training-ngc", environment="training-ngc")
    pytorch.use_in(project)

    command = ["docker", "compose", "build", "--progress", "plain"]
    done = project.run(*command, ACCELERATOR="nvidia", BASE_IMAGE=ngc_image)

    log = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search(r"PROBLEM +cuda-major +torch .*without CUDA", log), log


RUN = ("docker", "compose", "run", "--rm", "app")
RESULTS = {
    "inference": ["example-edges.png"],
    "training": ["digits.pt", "digits.png"],
    "training-ngc": ["digits.pt", "digits.png"],
    "full": ["digits.pt", "digits.png", "digits.onnx"],
}


def succeed(project: BakedProject, *command: str, **settings: str) -> str:
    """Run a command in the project and return what it said on stdout; it must not fail."""
    done = project.run(*command, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_a_stopped_training_goes_on(project: BakedProject, settings: dict[str, str]) -> str:
    """Ctrl-C in the middle of a long training: an honest exit code, and not one finished epoch lost.

    Returns the output of the run that finishes it.
    """
    container = succeed(project, *RUN[:-2], "--detach", "app", "script.py", "--epochs", "99999", **settings)
    container = container.strip()
    logs = ["docker", "logs", "--follow", container]
    with subprocess.Popen(logs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as following:
        for line in following.stdout:
            if line.startswith("epoch   3"):
                succeed(project, "docker", "kill", "--signal", "INT", container)
                break
        following.kill()
    code = succeed(project, "docker", "wait", container).strip()
    said = project.run("docker", "logs", container)
    succeed(project, "docker", "rm", container)

    assert code == "130", said.stdout + said.stderr
    last = int(re.findall(r"^epoch +(\d+)", said.stdout, re.MULTILINE)[-1])
    assert "continues from there" in said.stderr
    further = succeed(project, *RUN, "script.py", "--epochs", f"{last + 2}", **settings)
    assert int(re.search(r"continuing after epoch (\d+)", further)[1]) >= last >= 3
    return further


COMPILE = """
import torch, torchvision
from torch._dynamo.utils import counters
from torch._inductor import config
config.cpp_cache_precompile_headers = False  # costs more than it saves one function
assert torch.compile(lambda x: (x * 2 + 1).sum())(torch.ones(1000)) == 3000
print(torchvision.VERSION, "found" if counters["inductor"]["fxgraph_cache_hit"] else "compiled")
"""


# No workers, and no run of g++ to ask which vector code the CPU has: both take longer than one function.
QUICK = ("--env", "TORCHINDUCTOR_COMPILE_THREADS=1", "--env", "TORCHINDUCTOR_VEC_ISA_OK=0")


def assert_torch_compiles_as_anybody_and_once(
    project: BakedProject, settings: dict[str, str], *options: str
) -> None:
    """On the CPU, with g++. What one container compiled, the next one finds; torchvision is the CPU's."""
    change_owner(project.path, 4321, 4321, image_of(project.path.name))
    run = (*RUN[:-1], *options, "app", "-c", COMPILE)
    said = [succeed(project, *run, **settings).split() for _ in range(2)]
    change_owner(project.path, os.getuid(), os.getgid(), image_of(project.path.name))

    assert [how for _, how in said] == ["compiled", "found"]
    assert said[0][0].endswith("+cpu")


def assert_what_the_image_brings_is_used(project: BakedProject, settings: dict[str, str]) -> None:
    """PyTorch, NumPy and OpenCV are the image's; what it lacks, and the tools, are the environment's."""
    places = "import torch, numpy, cv2, sklearn; print(torch.__file__, numpy.__file__, cv2.__file__)"
    image = succeed(project, *RUN, "-c", places, **settings).split()
    own = succeed(project, *RUN, "sh", "-c", "which pytest; uv pip list --quiet", **settings)

    assert [path.startswith("/usr/local/lib/python3") for path in image] == [True] * 3
    assert own.startswith("/opt/venv/bin/pytest\n")
    assert "scikit-learn" in own
    assert not {"torch", "numpy", "opencv-python-headless"} & set(own.split())


def assert_the_result_is_the_owner_s(project: BakedProject, environment: str, output: str) -> None:
    """Each file that script.py names is there, is not empty and belongs to the owner of the project."""
    owner = project.path.stat().st_uid
    for name in RESULTS[environment]:
        result = (project.path / "outputs" / name).stat()
        assert f"outputs/{name}" in output
        assert (result.st_uid, result.st_size > 0) == (owner, True)
