"""The checks of the Python packages, each on a healthy and on a broken environment."""

import sys
from pathlib import Path

import pytest
from doctor import installed, packages, processes, requirement

from tests.generation.doctor.elf_file import elf


def test_the_python_of_the_environment_is_fine(machine, monkeypatch):
    monkeypatch.setattr(packages, "VENV", Path(sys.prefix))

    assert machine.problems("python") == ""


def test_another_python_is_named(machine, monkeypatch):
    monkeypatch.setattr(packages, "VENV", Path("/opt/venv"))

    assert "is not the Python of /opt/venv" in machine.problems("python")


def test_an_old_python_is_named(machine, monkeypatch):
    monkeypatch.setattr(packages, "VENV", Path(sys.prefix))
    machine.facts["minimum_python"] = "3.99"

    assert "3.99 or newer is needed" in machine.problems("python")


def test_one_of_each_package_is_fine(machine):
    machine.onnxruntime()
    machine.torch()
    machine.dist("opencv-python-headless", "4.13.0.92")

    assert machine.problems("packages") == ""


def test_a_package_of_the_example_that_is_missing_is_a_remark(machine):
    machine.facts["packages"] = ["numpy", "opencv-python-headless", "scikit-learn"]
    machine.onnxruntime()
    machine.torch()
    machine.dist("opencv", "4.12.0")  # NVIDIA's own

    assert machine.problems("packages") == ""
    (remark,) = machine.remarks("packages")
    assert remark.startswith("not installed, but of the example: numpy, scikit-learn; if")


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        ("opencv-python>=4.9", "albumentations"),
        ("opencv_python>=4", "albumentations"),
        ("OpenCV.Python [x] (>=4)", "albumentations"),
        ("opencv-python; extra == 'gui'", "albumentations"),  # pyproject.toml may ask for the extra
        ("opencv-python; sys_platform == 'win32'", "pyproject.toml itself"),
        ("opencv-python-headless", "pyproject.toml itself"),
    ],
)
def test_what_requires_the_wrong_package_is_named(machine, asks, named):
    machine.dist("albumentations", "2.0", asks)
    machine.dist("opencv-python", "4.12")

    assert requirement.required_by("opencv-python") == f"opencv-python is required by {named}"


def test_an_extra_that_nobody_asked_for_requires_nothing_where_a_package_does(machine):
    machine.dist("albumentations", "2.0", "opencv-python; extra == 'gui'")
    machine.dist("viewer", "1.0", "opencv-python")
    machine.dist("labels", "1.0", "opencv-python; extra == 'Gui_Qt'")
    machine.dist("server", "1.0", "labels[gui-qt]")

    assert requirement.required_by("opencv-python") == "opencv-python is required by labels, viewer"


def test_metadata_in_another_encoding_is_read(machine):
    """importlib.metadata raises UnicodeDecodeError for it."""
    machine.facts["packages"] = ["image.io"]
    machine.onnxruntime()
    machine.torch()
    machine.dist("Image_IO", "2.37")
    (metadata,) = machine.site.glob("Image_IO-*/METADATA")
    metadata.write_bytes(metadata.read_bytes() + "Author: Jos\u00e9".encode("latin-1"))

    assert machine.problems("packages") == ""
    assert machine.remarks("packages") == []
    assert installed.version_of("image.io") == "2.37"
    assert installed.version_of("image") == ""


def test_no_opencv_is_fine(machine):
    machine.onnxruntime()
    machine.torch()

    assert machine.problems("packages") == ""


def test_another_version_is_said_but_no_problem(machine):
    machine.onnxruntime(version="1.30.0")
    machine.torch("2.14.1+cu130")

    (finding,) = machine.finds("packages")

    assert finding.status == "ok"
    assert "onnxruntime-gpu 1.30.0 (1.31.1 was verified)" in finding.found
    assert "2.14.1 was verified" not in finding.found


def test_a_missing_framework_is_named(machine):
    machine.onnxruntime()

    assert "torch is not installed" in machine.problems("packages")


def test_both_onnx_runtimes_are_named(machine):
    machine.onnxruntime()
    machine.onnxruntime("onnxruntime")
    machine.torch()

    problems = machine.problems("packages")

    assert "onnxruntime-gpu 1.31.1 and onnxruntime 1.31.1 are installed together" in problems
    assert "keep onnxruntime-gpu;" in problems


@pytest.mark.parametrize(("accelerator", "name"), [("nvidia", "onnxruntime"), ("cpu", "onnxruntime-gpu")])
def test_the_wrong_onnx_runtime_is_named(machine, accelerator, name):
    machine.onnxruntime(name)
    machine.torch()

    problems = machine.problems("packages", accelerator)

    assert f"{name} is installed, but ACCELERATOR={accelerator} needs" in problems
    assert len(problems.splitlines()) == 1


@pytest.mark.parametrize("other", ["opencv-python", "opencv-contrib-python", "opencv"])
def test_two_opencvs_are_named(machine, other):
    machine.onnxruntime()
    machine.torch()
    machine.dist("opencv-python-headless", "4.13.0.92")
    machine.dist(other, "4.12.0")

    problems = machine.problems("packages")

    assert other + " 4.12.0" in problems
    assert "installed together" in problems


def test_torch_from_pypi_on_nvidias_image_is_named(machine, monkeypatch):
    machine.facts["cuda_from"] = "ngc"
    machine.onnxruntime()
    machine.torch()
    monkeypatch.setattr(packages, "VENV", machine.root)

    assert "from PyPI hides the one of NVIDIA's image" in machine.problems("packages")


def test_torch_of_nvidias_image_is_fine(machine, monkeypatch):
    machine.facts["cuda_from"] = "ngc"
    machine.facts["frameworks"]["torch"]["version"] = None
    machine.onnxruntime()
    machine.torch("2.14.0a0+b2c75dd062.nv26.9")
    monkeypatch.setattr(packages, "VENV", machine.root / "venv")

    assert machine.problems("packages") == ""


def test_one_cuda_for_both_frameworks_is_fine(machine):
    machine.onnxruntime()
    machine.torch(cuda="13.2")

    assert machine.problems("cuda-major") == ""


def test_two_cudas_are_named_with_the_versions_that_fit(machine):
    machine.onnxruntime(version="1.26.0", cuda="12.8")
    machine.torch()

    problems = machine.problems("cuda-major")

    assert "onnxruntime 1.26.0 is for CUDA 12.8, torch 2.14.1 is for CUDA 13.0" in problems
    assert "pyproject.toml must have onnxruntime-gpu[cuda,cudnn]==1.31.1, torch==2.14.1;" in problems


def test_a_torch_without_cuda_is_named(machine):
    machine.onnxruntime()
    machine.torch("2.14.1+cpu", cuda=None)

    assert "torch 2.14.1+cpu is a build without CUDA" in machine.problems("cuda-major")


@pytest.mark.parametrize(("linked", "named"), [(13, False), (12, True)])
def test_an_onnx_runtime_that_does_not_say_its_cuda_is_asked_by_ldd(machine, linked, named):
    machine.onnxruntime(cuda="")
    machine.without("torch")
    machine.prints("ldd", f"\tlibcublas.so.{linked} => not found\n")

    assert ("is for CUDA 12" in machine.problems("cuda-major")) == named


def test_modules_that_can_be_imported_are_fine(machine):
    machine.onnxruntime()
    machine.torch()
    machine.module("cv2")
    machine.dist("opencv-python", "4.13.0.92")

    (finding,) = machine.finds("imports")

    assert (finding.status, finding.found) == ("ok", "onnxruntime, torch, cv2")


def test_a_module_that_cannot_be_imported_is_named_with_the_last_line(machine):
    machine.onnxruntime()
    machine.torch(code="raise ImportError('libGL.so.1: cannot open shared object file')")

    problems = machine.problems("imports")
    assert "import torch: ImportError: libGL.so.1" in problems
    assert problems.endswith("| add libgl1 to docker/apt-packages.txt; docker compose build")


def test_a_crash_while_importing_is_a_finding(machine):
    machine.onnxruntime(code="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    machine.torch()

    assert "import onnxruntime: killed by SIGSEGV" in machine.problems("imports")


def test_an_import_that_hangs_is_a_finding_with_the_advice_to_try_again(machine, monkeypatch):
    """A build without its cache would read the same files from the same slow disk."""
    monkeypatch.setattr(packages, "python", lambda script: processes.python(script, seconds=1))
    machine.torch(code="import time; time.sleep(60)")

    problems = machine.problems("imports")

    assert "import torch: no answer within 1 s |" in problems
    assert problems.endswith("| run it again: a slow disk needs longer the first time")


def test_all_missing_libraries_are_named_at_once(machine):
    """The loader names the first one; opencv-python lacks three packages of the system."""
    machine.dist("opencv-python", "4.13")
    machine.package_that_fails("cv2", "libGL.so.1")
    files = {
        "cv2/cv2.abi3.so": elf("libGL.so.1", "libQt5Gui-1a2b.so.5", module="cv2"),
        "opencv_python.libs/libQt5Gui-1a2b.so.5": elf("libgthread-2.0.so.0", "libSM.so.6"),
        "cv2/other.so": elf("libasound.so.2", module="other"),
    }
    machine.wheel("cv2-files", "4.13", files=files)

    advice = "| add libgl1 libglib2.0-0 libsm6 to docker/apt-packages.txt; docker compose build"
    assert machine.problems("imports").endswith(advice)
    assert machine.problems("shared-objects").endswith(advice)


def test_on_a_processor_without_builds_for_the_cuda_of_the_line_another_line_is_advised(machine):
    """Torch of CUDA 12 has no build with CUDA for aarch64: asking for its version again cannot help."""
    machine.facts |= {"line": "cu12-py312", "cuda": 12}
    machine.without("onnxruntime")
    machine.torch(cuda=None)
    machine.processor("aarch64")

    problems = machine.problems("cuda-major")

    assert "torch 2.14.1 is a build without CUDA; this environment is CUDA 12" in problems
    assert (
        "generate the project again with cuda=cu13-py312; to run without a GPU: ACCELERATOR=cpu" in problems
    )
    assert "pyproject.toml must have" not in problems

    machine.processor("x86_64")
    assert "pyproject.toml must have torch==2.14.1" in machine.problems("cuda-major")


def test_an_error_without_a_word_has_a_summary():
    """As of an `ldd` that fails without output."""
    assert processes.error_summary("") == "no reason given"
