"""Provide stand-ins for PyTorch's index and NVIDIA's images, if those cannot be reached."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from engines.base_image import Base
from engines.engine import Engine
from engines.steps import cache
from tests.conftest import BakedProject
from tests.support.engine import give_up
from tests.support.index_server import write_wheel
from tests.support.workers import CHECKOUT, image_of, report

INDEX = "https://download.pytorch.org/whl/cpu"
STAND_IN_VERSION, STAND_IN_VISION = "2.13.0", "0.28.0"
# The last PyTorch on PyPI for the CPU on Arm.
ARM_VERSION, ARM_VISION = "2.10.0", "0.25.0"
# The same address in every run and worker: it is in uv.lock, so another one would cause another build.
ADDRESS = ("127.84.111.99", 8085)
# PyTorch's threads wait for each other by spinning, which costs most where another worker has a core.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# What compose needs to build and to run beside a server on this machine's loopback.
ON_THE_HOST = """services:
  app: {network_mode: host, build: {network: host}}
  deploy: {build: {network: host}}
"""
NGC_STAND_IN, CUDA_STAND_IN = f"capy-env-ngc-stand-in{CHECKOUT}", f"capy-env-cuda-stand-in{CHECKOUT}"
CUDNN_PARTS = ("graph", "ops", "cnn", "adv", "heuristic", "engines_precompiled", "engines_runtime_compiled")
CUDA_LIBRARIES = [
    *("libcublas.so.12", "libcublasLt.so.12", "libcudart.so.12", "libcufft.so.11", "libcurand.so.10"),
    *("libnvrtc.so.12", "libcudnn.so.9", *(f"libcudnn_{part}.so.9" for part in CUDNN_PARTS)),
]


@dataclass(frozen=True)
class PyTorch:
    """The index of PyTorch's CPU build, and its version; without a version, the project's."""

    index: str
    version: str = ""
    vision: str = ""

    def use_in(self, project: BakedProject) -> None:
        """Point the index of the project, by its name, at this one, and pin what it has; use one thread."""
        own = project.path / "compose.project.yaml"
        threads = "".join(f"      {name}: {value}\n" for name, value in ONE_THREAD.items())
        own.write_text(own.read_text().replace("    environment:\n", f"    environment:\n{threads}"))
        if not self.version:
            return
        path = project.path / "pyproject.toml"
        text = path.read_text()
        before, extra, rest = text.partition("\ncpu = [")
        if INDEX in text:
            for name, version in (("torch", self.version), ("torchvision", self.vision)):
                rest = re.sub(rf'"{name}==[\d.]+', f'"{name}=={version}', rest)
            rest = rest.replace(INDEX, self.index)
        path.write_text(before + extra + rest)
        (project.path / "compose.override.yaml").write_text(ON_THE_HOST)


@pytest.fixture(scope="session")
def pytorch(engine: Engine, pytestconfig: pytest.Config) -> Iterator[PyTorch]:
    """Return PyTorch's index of CPU builds, or one on the loopback with the build that pip finds here."""
    try:
        urlopen(f"{INDEX}/torch/", timeout=20).close()
    except OSError as error:  # a proxy that hangs up raises another one than a name that is unknown
        why = getattr(error, "reason", error)
    else:
        yield PyTorch(INDEX)
        return
    folder = cache() / "pytorch-index"
    with (cache() / "pytorch-index.lock").open("w") as lock:  # pip's last step is a plain copy
        fcntl.flock(lock, fcntl.LOCK_EX)
        wheel = cpu_wheel(folder / "torch", pytestconfig)
        (folder / "torchvision").mkdir(exist_ok=True)
        for version, torch in ((STAND_IN_VISION, STAND_IN_VERSION), (ARM_VISION, ARM_VERSION)):
            write_wheel(folder / "torchvision", "torchvision", f"{version}+cpu", f"torch=={torch}")
    report(pytestconfig, f"STAND-IN: every line has {wheel.name}, not its own PyTorch from {INDEX}: {why}")
    report(
        pytestconfig, "STAND-IN: torchvision+cpu is an empty package, which shows only where it comes from"
    )
    handler = partial(Quiet, directory=str(folder))
    with Shared(ADDRESS, handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield PyTorch("http://{}:{}".format(*ADDRESS), STAND_IN_VERSION, STAND_IN_VISION)
        server.shutdown()


class Shared(ThreadingHTTPServer):
    """A server that shares its address with those of other workers; all have the same files."""

    allow_reuse_port = True


class Quiet(SimpleHTTPRequestHandler):
    """Serve a folder of wheels as an index, without a log."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""


LOCKS: dict[str, str] = {}  # by the pyproject.toml


def lock(project: BakedProject) -> None:
    """Write uv.lock, as `docker compose run --rm app uv lock` does, but without an image; each one once."""
    asked = project.read("pyproject.toml")
    if asked in LOCKS:
        (project.path / "uv.lock").write_text(LOCKS[asked])
        return
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([uv, "lock"], cwd=project.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    LOCKS[asked] = project.read("uv.lock")


def cpu_wheel(
    folder: Path, config: pytest.Config, version: str = f"{STAND_IN_VERSION}+cpu", machine: str = "x86_64"
) -> Path:
    """Return the CPU build of PyTorch as a wheel in `folder`, downloaded once.

    For the Python of this Debian, since the stand-in base image is the same release. A lock needs wheels for
    both processors, so the other one gets an empty wheel.
    """
    asked = [shutil.which("python3", path="/usr/bin") or sys.executable, "-c"]
    asked += ["import sys; print(*sys.version_info[:2], sep='.')"]
    python = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    name = f"torch-{version}-cp{python.replace('.', '')}-*_{machine}.whl"
    if not any(folder.glob(name)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        pip += ["--only-binary=:all:", "--python-version", python, "--platform", f"manylinux_2_28_{machine}"]
        public = version.removesuffix("+cpu")
        done = subprocess.run([*pip, f"torch=={public}"], capture_output=True, text=True)
        if done.returncode or not any(folder.glob(name)):
            give_up(config, f"NO PYTORCH: neither {INDEX} nor pip has its CPU build: {done.stderr[-300:]}")
    wheel = next(folder.glob(name))
    (other,) = {"x86_64", "aarch64"} - {machine}
    write_empty_wheel(wheel, wheel.with_name(wheel.name.replace(machine, other)))
    return wheel


def write_empty_wheel(wheel: Path, path: Path) -> None:
    """Write a wheel with the metadata of another one and no files."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            if match := re.fullmatch(r"([^/]+\.dist-info)/(METADATA|WHEEL)", name):
                info = match[1]
                archive.writestr(zipfile.ZipInfo(name), source.read(name))
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), "")


@pytest.fixture(scope="session")
def arm_pytorch(pytorch: PyTorch, pytestconfig: pytest.Config) -> PyTorch:
    """Return PyTorch for the CPU on Arm, from its own index, else the last one on PyPI."""
    if not pytorch.version:
        return pytorch
    folder = cache() / "pytorch-index" / "torch"
    with (cache() / "pytorch-index.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wheel = cpu_wheel(folder, pytestconfig, ARM_VERSION, "aarch64")
    report(pytestconfig, f"STAND-IN: on Arm every line has {wheel.name}, not its own PyTorch from {INDEX}")
    return PyTorch(pytorch.index, ARM_VERSION, ARM_VISION)


@pytest.fixture(scope="session")
def ngc_image(base: Base, pytorch: PyTorch, pytestconfig: pytest.Config) -> str:
    """Build a stand-in for NVIDIA's PyTorch image: its layout, with PyTorch's CPU build."""
    report(pytestconfig, f"STAND-IN: {NGC_STAND_IN} has the CPU build, not NVIDIA's PyTorch image")
    packages = f"torch=={STAND_IN_VERSION} torchvision=={STAND_IN_VISION}"
    arguments = [f"BASE={base.name}", f"TORCH_INDEX={pytorch.index}", f"PACKAGES={packages}"]
    return build_image(recipe("ngc-stand-in"), NGC_STAND_IN, *arguments, network="host")


@pytest.fixture(scope="session")
def cuda_image(base: Base, pytestconfig: pytest.Config) -> str:
    """Build a stand-in for NVIDIA's image with CUDA 12 and cuDNN: empty libraries with its names."""
    report(pytestconfig, f"STAND-IN: {CUDA_STAND_IN} has empty CUDA libraries, not NVIDIA's")
    arguments = [f"BASE={base.name}", f"LIBRARIES={' '.join(CUDA_LIBRARIES)}"]
    return build_image(recipe("cuda-stand-in"), CUDA_STAND_IN, *arguments)


@pytest.fixture(scope="session")
def nvidia_image(built: BakedProject) -> str:
    """Build the image of ACCELERATOR=nvidia with NVIDIA's own packages; the doctor accepts it."""
    done = built.run("docker", "compose", "build", "--progress", "plain", ACCELERATOR="nvidia")
    assert done.returncode == 0, done.stdout + done.stderr
    return image_of("capy-test", "nvidia")


def recipe(name: str) -> str:
    """Return the text of a Dockerfile in tests/support."""
    return Path(__file__).with_name(f"{name}.Dockerfile").read_text()


def build_image(text: str, name: str, *arguments: str, network: str = "default", platform: str = "") -> str:
    """Build the image `name` from the text of a Dockerfile, without a context; return its name."""
    command = ["docker", "build", "--tag", name, "--network", network]
    command += ["--platform", platform] if platform else []
    command += [word for argument in arguments for word in ("--build-arg", argument)]
    if bundle := os.environ.get("CA_BUNDLE"):
        command += ["--secret", f"id=ca,src={bundle}"]
    done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return name
