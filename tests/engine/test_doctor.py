"""The doctor names what is wrong in thirteen environments that are broken on purpose, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from capy_template.matrix import stack
from tests.conftest import generate
from tests.support.light_project import empty
from tests.support.stand_ins import build_image
from tests.support.workers import image_of, report

IMAGE = image_of("capy-test", "nvidia")
BUILD = ["docker", "compose", "build", "--progress", "plain"]
RUN = ["docker", "compose", "run", "--rm", "app", "doctor"]
SITE = "/opt/venv/lib/python3.*/site-packages"
Findings = dict[str, str]


@pytest.fixture(scope="module")
def named(pytestconfig) -> Iterator[list[str]]:
    """What the doctor named rightly; the number is reported."""
    rightly: list[str] = []
    yield rightly
    report(pytestconfig, f"doctor: broken environments named: {len(rightly)} of 13")


@pytest.fixture
def broken(nvidia_image) -> Iterator[Callable[[str], str]]:
    """broken(command): the name of an image in which root has run this command."""
    names = []

    def make(command: str) -> str:
        names.append(image_of("capy-env-broken", str(len(names))))
        cache = "--mount=type=cache,id=uv,target=/cache/uv"
        step = f"RUN --mount=type=secret,id=ca {cache} {command}"
        build_image(f'FROM {IMAGE}\nENV {PATH}\nSHELL ["/bin/bash", "-euc"]\n{step}\n', names[-1])
        return names[-1]

    yield make
    subprocess.run(["docker", "image", "rm", "--force", *names], capture_output=True)


# What is wrong, how it comes about, the check that must name it, and the words that it must use.
# In the project's folder uv takes what the line says, and the doctor looks at once.
PATH = "PATH=/opt/venv/bin:$PATH"  # so root of a build may use uv
ANYWHERE = "cd / && UV_WITHOUT_DOCTOR=1"
BROKEN_IMAGES = {
    "cuDNN is missing": (f"{ANYWHERE} uv pip uninstall nvidia-cudnn-cu13", "libraries", "libcudnn.so.9"),
    "cuBLAS is missing": (f"{ANYWHERE} uv pip uninstall nvidia-cublas", "libraries", "libcublas.so.13"),
    "the wrong CUDA major": (
        f"{ANYWHERE} uv pip install onnxruntime-gpu==1.26.0",
        "cuda-major",
        "onnxruntime 1.26.0",
    ),
    "both ONNX Runtimes": (
        f"{ANYWHERE} uv pip install onnxruntime==1.31.1",
        "packages",
        "onnxruntime-gpu 1.31.1 and onnxruntime 1.31.1",
    ),
    "both OpenCVs": (f"{ANYWHERE} uv pip install --no-deps 'opencv-python<5'", "packages", "opencv-python "),
    "the system's cuDNN beside the packages' own": (
        f"cp {SITE}/nvidia/cudnn/lib/libcudnn*.so.9 /usr/local/lib/ && ldconfig",
        "cudnn",
        "2 copies of libcudnn.so.9",
    ),
}
# What such a fault entails: the libraries of another major are missing, opencv-python needs libGL.so.1.
CONSEQUENCES = {"cuda-major": {"libraries"}, "packages": {"imports", "shared-objects"}}
FAKE_SMI = """#!/bin/sh
case $1 in *=driver_version) echo 470.82.01 ;; *) echo "8.6, NVIDIA GeForce RTX 3090" ;; esac
"""


@pytest.mark.parametrize(("command", "check", "words"), BROKEN_IMAGES.values(), ids=BROKEN_IMAGES)
def test_a_build_fails_and_names(command, check, words, broken, named):
    image = broken(command)

    code, found = doctor(image, "--build", "--entrypoint", "doctor")

    assert code == 1
    assert words in found[check]
    assert set(found) - {check} == CONSEQUENCES.get(check, set()) & set(found)
    named.append(words)


def test_the_build_of_a_project_ends_where_cudnn_is_missing(base, project, nvidia_image):
    pyproject = project.path / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(re.sub(r',\s*"nvidia-cudnn-cu13[^"]*"', "", text))
    assert pyproject.read_text() != text

    done = project.run("docker", "compose", "build", "--progress", "plain", ACCELERATOR="nvidia")

    log = done.stdout + done.stderr
    assert done.returncode != 0
    assert "libcudnn.so.9" in log
    assert "docker compose build" in log.partition("fix:")[2]


def test_a_container_whose_home_is_closed_is_named(image, named):
    beside = [
        "--entrypoint",
        "doctor",
        "-ePATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin",
    ]

    code, found = doctor(image, *beside, "--user", "1234:0", "-eHOME=/root", "-eUSER=app")

    assert (code, set(found)) == (1, {"folders"})
    assert "/root" in found["folders"]
    named.append("a container whose home is closed")


def test_a_container_whose_cache_is_closed_is_named(image, tmp_path, named):
    tmp_path.chmod(0o755)

    code, found = doctor(image, "--env", "USER_ID=1234", "--volume", f"{tmp_path}:/cache")

    assert (code, set(found)) == (1, {"folders"})
    assert "/cache" in found["folders"]
    named.append("a container whose cache is closed")


def test_a_container_whose_ids_do_not_own_the_project_is_named(image, folder, named):
    mount = f"{folder(1234, 1234)}:/code"

    code, found = doctor(image, "--env", "USER_ID=4321", "--env", "GROUP_ID=4321", "--volume", mount)

    assert (code, set(found)) == (1, {"folders"})
    assert "1234:1234" in found["folders"]
    assert "USER_ID" in found["folders"]
    named.append("a container whose ids do not own the project")


def test_a_container_with_too_little_shared_memory_is_named(image, tmp_path, named):
    """As `docker run` starts one, which does not read shm_size in compose.yaml."""
    facts = tmp_path / "environment.json"
    facts.write_text(json.dumps({**stack("inference", "cu13-py312").doctor, "shared_memory_mib": 1024}))

    mount = f"{facts}:/usr/local/lib/doctor/environment.json:ro"
    code, found = doctor(image, "--volume", mount)
    enough, _ = doctor(image, "--volume", mount, "--shm-size", "2g")

    assert (code, set(found)) == (1, {"shared-memory"})
    assert "shm_size" in found["shared-memory"]
    assert enough == 0
    named.append("a container with too little shared memory")


def test_a_driver_that_is_too_old_is_named(nvidia_image, tmp_path, named):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(FAKE_SMI)
    smi.chmod(0o755)

    code, found = doctor(IMAGE, "--volume", f"{smi}:/usr/bin/nvidia-smi:ro")

    assert code == 1
    assert "470.82.01" in found["driver"]
    assert "580.65.06" in found["driver"]
    named.append("a driver that is too old")


def test_a_reservation_that_gave_no_gpu_is_named(nvidia_image, named):
    code, found = doctor(IMAGE, "--env", "NVIDIA_VISIBLE_DEVICES=all")

    assert code == 1
    assert "NVIDIA_VISIBLE_DEVICES=all" in found["gpu"]
    assert "ACCELERATOR=cpu" in found["gpu"]
    named.append("a reservation that gave no gpu")


def test_a_gpu_that_the_engine_took_away_is_named(nvidia_image, tmp_path, named):
    """What `systemctl daemon-reload` leaves: the device is there, and the container's rules refuse it."""
    script = tmp_path / "lost"
    script.write_text(
        '#!/bin/sh\nmknod -m 666 /dev/nvidia0 c 195 0\nexec /usr/local/bin/entrypoint doctor "$@"\n'
    )
    script.chmod(0o755)

    mount = f"{script}:/usr/local/bin/lost:ro"
    code, found = doctor(IMAGE, "--volume", mount, "--cap-add", "MKNOD", "--entrypoint", "lost")

    assert code == 1
    assert "/dev/nvidia0 cannot be opened: operation not permitted" in found["gpu"]
    named.append("a gpu that the engine took away")


def test_healthy_environments_raise_no_alarm(image, nvidia_image):
    """The one for a GPU can be asked for no more than its build here: there is none."""
    assert doctor(image) == (0, {})
    assert doctor(IMAGE, "--build", "--entrypoint", "doctor") == (0, {})
    _, found = doctor(IMAGE)
    assert set(found) == {"gpu"}


@pytest.mark.nightly
def test_an_environment_on_nvidia_s_image_raises_no_alarm_and_a_second_cudnn_does(cuda_image, tmp_path):
    project = generate(tmp_path, project="capy-copy", cuda="cu12-py310")
    settings = {"ACCELERATOR": "nvidia", "BASE_IMAGE": cuda_image}

    healthy = project.run(*BUILD, **settings)
    image = project.run("docker", "compose", "config", "--images", "app", **settings).stdout.strip()
    cuda = project.run("docker", "run", "--rm", "--entrypoint", "ls", image, "/usr/local/cuda")
    pyproject = project.path / "pyproject.toml"
    with_cudnn = '"nvidia-cudnn-cu12", "onnxruntime-gpu=='
    pyproject.write_text(pyproject.read_text().replace('"onnxruntime-gpu==', with_cudnn))
    broken = project.run(*BUILD, **settings)

    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert cuda.stdout.split() == ["lib64"], cuda.stderr  # without the forward-compatibility library
    assert broken.returncode != 0
    assert "2 copies of libcudnn.so.9" in broken.stdout + broken.stderr


OWN_CHECK = """
from pathlib import Path
from doctor import problem, skipped

def check_data(facts):
    if facts.building:
        yield skipped("it is mounted later")
    elif not Path("/data").is_dir():
        yield problem("/data is missing", "it is read", "mount it")
"""


def test_the_owner_s_checks_run_in_the_build_and_in_the_image(base, tmp_path):
    project = empty(generate(tmp_path, project="capy-copy"))
    checks = project.path / "docker/checks.py"

    checks.write_text("def check_data(facts)\n")
    stopped = project.run(*BUILD)
    checks.write_text(OWN_CHECK)
    done = project.run(*BUILD)
    checks.unlink()  # what counts is the image's
    without = project.run(*RUN)
    with_data = project.run(*RUN[:-2], "--volume", f"{project.path}/src:/data", *RUN[-2:])

    assert stopped.returncode != 0
    assert "docker/checks.py cannot be used: SyntaxError" in stopped.stdout + stopped.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert (without.returncode, "data: /data is missing" in without.stdout) == (1, True), without
    assert with_data.returncode == 0, with_data


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("doctor.py", "move your own checks to docker/checks.py"),
        ("uv.py", "move your changes to docker/uv/"),
    ],
)
def test_a_build_stops_at_a_script_that_an_update_left(base, tmp_path, name, says):
    """cruft keeps it where its owner changed it, and that would never run again."""
    project = empty(generate(tmp_path, project="capy-copy"))
    (project.path / "docker" / name).write_text("CHECKS = []\n")

    done = project.run(*BUILD)

    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def doctor(image: str, *options: str) -> tuple[int, Findings]:
    """Run the doctor in a new container; return its exit code, and the text of each check's problems.

    `--build` among the options is the doctor's own, the others are those of `docker run`.
    """
    own = [option for option in options if option == "--build"]
    command = [] if "--entrypoint" in options else ["doctor"]
    options = tuple(option for option in options if option not in own)
    done = subprocess.run(
        ["docker", "run", "--rm", *options, image, *command, "--json", *own], capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    problems: Findings = {}
    for finding in json.loads(done.stdout):
        if finding["status"] == "problem":
            text = " ".join(finding[part] for part in ("found", "why", "fix"))
            problems[finding["check"]] = problems.get(finding["check"], "") + text
    return done.returncode, problems
