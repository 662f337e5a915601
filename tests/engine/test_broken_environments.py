"""Environments that a user breaks after the build: each is named, by the check and in the words that help.

With the twelve of test_doctor.py they are twenty-nine; docs/packages.md has the packages that break nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import change_owner
from tests.support.workers import report

pytestmark = pytest.mark.nightly  # test_doctor.py and tests/generation/doctor/ have each kind

# In the project's folder uv takes what the line says, so these are installed from elsewhere.
WITHOUT_GPU = {
    "CUDA 12 without a GPU": ("install cupy-cuda12x", "cuda-builds", "cupy-cuda12x"),
    "CUDA 13 without a GPU": ("install cupy-cuda13x", "cuda-builds", "cupy-cuda13x"),
    "CUDA 11 without a GPU": ("install --no-deps cupy-cuda11x", "cuda-builds", "cupy-cuda11x"),
    "torchvision alone": ("install --no-deps torchvision==0.29.1", "requirements", "torchvision 0.29.1"),
    "a second OpenCV": ("install --no-deps opencv-python<5", "packages", "opencv-python "),
    "contrib beside it": (
        "install --no-deps opencv-contrib-python-headless<5",
        "packages",
        "opencv-contrib-python-headless",
    ),
    "the runtime for a GPU": (
        "install --no-deps onnxruntime-gpu==1.31.1",
        "packages",
        "onnxruntime-gpu 1.31.1",
    ),
    "libturbojpeg": ("install pyturbojpeg<2", "shared-objects", "libturbojpeg0"),
    "libportaudio": ("install sounddevice", "shared-objects", "libportaudio2"),
    "libzbar": ("install pyzbar", "shared-objects", "libzbar0"),
    "libmagic": ("install python-magic", "shared-objects", "libmagic1"),
    "libcairo": ("install cairocffi", "shared-objects", "libcairo2"),
    "an old NumPy": ("install --no-deps numpy==1.26.4", "requirements", "numpy"),
    "no NumPy": ("uninstall numpy", "requirements", "numpy"),
    "no ONNX Runtime": ("uninstall onnxruntime", "packages", "onnxruntime is not installed"),
    "pandas by halves": ("install --no-deps pandas", "requirements", "python-dateutil"),
}
WITH_GPU = {
    "CuPy for CUDA 12": ("install cupy-cuda12x", "cuda-builds", "cupy-cuda12x"),
    "faiss for CUDA 12": ("install faiss-gpu-cu12", "cuda-builds", "faiss-gpu-cu12"),
    "JAX for CUDA 12": ("install --no-deps jax-cuda12-plugin", "cuda-builds", "jax-cuda12-plugin"),
}


@pytest.fixture(scope="module")
def named(pytestconfig) -> Iterator[list[str]]:
    """What the doctor named rightly; the number is reported."""
    rightly: list[str] = []
    yield rightly
    cases = len(WITHOUT_GPU) + len(WITH_GPU)
    report(pytestconfig, f"doctor: environments broken after the build, named: {len(rightly)} of {cases}")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory, image) -> Iterator[Path]:
    """A folder for /cache, which the cases share."""
    folder = tmp_path_factory.mktemp("downloads")
    folder.chmod(0o777)
    yield folder
    change_owner(folder, 0, 0, image)


@pytest.mark.parametrize(("change", "check", "words"), WITHOUT_GPU.values(), ids=WITHOUT_GPU)
def test_a_change_without_a_gpu_is_named(image, downloads, named, change, check, words):
    assert words in problems(image, downloads, change)[check]
    named.append(change)


@pytest.mark.parametrize(("change", "check", "words"), WITH_GPU.values(), ids=WITH_GPU)
def test_a_change_with_a_gpu_is_named(nvidia_image, downloads, named, change, check, words):
    assert words in problems(nvidia_image, downloads, change)[check]
    named.append(change)


def problems(image: str, downloads: Path, change: str) -> dict[str, str]:
    """Change the packages of a container; return what the doctor's look says of it, by check."""
    verb, *words = change.split()
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"cd / && UV_WITHOUT_DOCTOR=1 uv pip {verb} --quiet {quoted} && doctor --packages --json"
    command = ["docker", "run", "--rm", "--network", "host", "--volume", f"{downloads}:/cache"]
    if bundle := os.environ.get("CA_BUNDLE"):
        command += ["--volume", f"{bundle}:/run/secrets/ca:ro"]
    done = subprocess.run([*command, image, "sh", "-c", script], capture_output=True, text=True)
    assert done.stdout, done.stderr
    found: dict[str, str] = {}
    for finding in json.loads(done.stdout):
        if finding["status"] == "problem":
            text = " ".join(finding[part] for part in ("found", "why", "fix"))
            found[finding["check"]] = found.get(finding["check"], "") + text
    assert done.returncode == 1
    return found
