"""The doctor's checks, each on a healthy and on a broken environment; no Docker and no GPU needed."""

import getpass
import importlib.util
import itertools
import json
import os
import shutil
import sys
import tempfile
from errno import EACCES, EROFS
from pathlib import Path
from types import SimpleNamespace

import pytest

from capy_template.matrix import load
from compatibility import docs
from tests.conftest import TEMPLATE

DOCTOR = TEMPLATE / "{{cookiecutter.project}}" / "docker" / "doctor.py"

FULL = {
    "environment": "full",
    "line": "cu13-py312",
    "cuda": 13,
    "cudnn": 9,
    "cuda_from": "wheels",
    "minimum_driver": "580.65.06",
    "minimum_python": "3.10",
    "shared_memory_mib": 2048,
    "packages": [],
    "frameworks": {
        "onnxruntime": {
            "version": "1.31.1",
            "architectures": ["7.5", "8.0", "8.6", "8.9", "9.0a", "12.0a"],
            "lazy_libraries": ["libcudnn.so.9", "libcufft.so.12"],
        },
        "torch": {"version": "2.14.1", "architectures": ["7.5", "12.0", "12.0+PTX"], "lazy_libraries": []},
    },
}
CUDNN_PARTS = ("graph", "ops", "cnn", "adv", "heuristic", "engines_precompiled", "engines_runtime_compiled")
RIGHT_NUMBERS = "[1140.0, 1692.0, 1716.0, 2556.0]"


class Machine:
    """A machine in a folder: packages, libraries, devices and tools, all of them fakes."""

    def __init__(self, root: Path, doctor, monkeypatch):
        self.root, self.doctor, self.monkeypatch = root, doctor, monkeypatch
        self.site = root / "site-packages"
        self.bin = root / "bin"
        self.facts = json.loads(json.dumps(FULL))
        for folder in (self.site, self.bin, root / "dev"):
            folder.mkdir()
        monkeypatch.setattr(sys, "path", [str(self.site), *(p for p in sys.path if "-packages" not in p)])
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.setenv("PYTHONPATH", str(self.site))
        for name in ("LD_LIBRARY_PATH", "ACCELERATOR", "USER_ID", "GROUP_ID", "NVIDIA_VISIBLE_DEVICES"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(doctor, "DEVICES", root / "dev")
        monkeypatch.setattr(doctor, "KERNEL_DRIVER", root / "version")
        monkeypatch.setattr(doctor, "ENVIRONMENT", root / "environment.json")
        monkeypatch.setattr(doctor, "PYTHON", [sys.executable, "-B"])  # -I would not see our site-packages
        self.tool("ldconfig", "true")
        self.tool("ldd", "true")

    def tool(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def prints(self, name: str, text: str) -> None:
        (self.root / f"{name}.out").write_text(text)
        self.tool(name, f"cat {self.root / name}.out")

    def module(self, name: str, code: str = "") -> Path:
        folder = self.site / name
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text(code)
        return folder

    def dist(self, name: str, version: str, requires: str = "") -> None:
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        (folder / "METADATA").write_text(text)

    def onnxruntime(self, name="onnxruntime-gpu", version="1.31.1", cuda="13.0", code="") -> None:
        self.dist(name, version)
        capi = self.module("onnxruntime", code) / "capi"
        capi.mkdir(exist_ok=True)
        said = f"cuda_version = '{cuda}'\n" if cuda else ""
        (capi / "build_and_package_info.py").write_text(f"package_name = '{name}'\n{said}")
        if cuda is not None:
            (capi / "libonnxruntime_providers_cuda.so").touch()

    def torch(self, version="2.14.1", cuda="13.0", code="") -> None:
        self.dist("torch", version)
        folder = self.module("torch", code)
        (folder / "version.py").write_text(f"from typing import Optional\ncuda: Optional[str] = {cuda!r}\n")
        (folder / "lib").mkdir()
        (folder / "lib/libtorch_cuda.so").touch()

    def library(self, path: Path | str) -> Path:
        """A real shared library: it has the name, and can be opened."""
        path = self.site / path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.doctor.opened(["libdl.so.2"])[0]["libdl.so.2"], path)  # glibc's empty one
        return path

    def cuda_wheels(self) -> None:
        libraries = [self.library("nvidia/cu13/lib/libcufft.so.12")]
        libraries += [self.library("nvidia/cudnn/lib/libcudnn.so.9")]
        for part in CUDNN_PARTS:
            self.library(f"nvidia/cudnn/lib/libcudnn_{part}.so.9")
        # a new LD_LIBRARY_PATH counts for the processes that the doctor starts
        self.monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(str(lib.parent) for lib in libraries))
        self.prints("ldd", f"\tlibcudart.so.13 => {self.site}/nvidia/cu13/lib/libcudart.so.13 (0x1)\n")

    def gpu(self, driver="580.95.05", capability="9.0", name="NVIDIA H100") -> None:
        (self.root / "dev/nvidiactl").touch()
        (self.root / "dev/nvidia0").touch()
        self.tool(
            "nvidia-smi",
            f"case $1 in *=driver_version) echo '{driver}' ;; *) echo '{capability}, {name}' ;; esac",
        )

    def without(self, framework: str) -> None:
        del self.facts["frameworks"][framework]

    def finds(self, check: str, accelerator: str = "nvidia") -> list:
        facts = self.doctor.Facts(**self.facts, accelerator=accelerator)
        self.monkeypatch.setattr(self.doctor, "CHECKS", [c for c in self.doctor.CHECKS if c.name == check])
        return list(self.doctor.examine(facts, build=False))

    def problems(self, check: str, accelerator: str = "nvidia") -> str:
        """What was found, why and what to type, of the problems alone; "" on a healthy machine."""
        problems = [f for f in self.finds(check, accelerator) if f.status == "problem"]
        assert all(f.found and f.why and f.fix for f in problems)
        return "\n".join(f"{f.found} | {f.why} | {f.fix}" for f in problems)


@pytest.fixture
def doctor(tmp_path_factory):
    # a copy: compiled code beside the template's own would become a file of every project
    copy = shutil.copy(DOCTOR, tmp_path_factory.mktemp("doctor"))
    spec = importlib.util.spec_from_file_location("doctor", copy)
    module = importlib.util.module_from_spec(spec)
    sys.modules["doctor"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    yield module
    del sys.modules["doctor"]


@pytest.fixture
def machine(tmp_path, doctor, monkeypatch):
    return Machine(tmp_path, doctor, monkeypatch)


# ---------------------------------------------------------------- python


def test_the_python_of_the_environment_is_fine(machine, doctor, monkeypatch):
    monkeypatch.setattr(doctor, "VENV", Path(sys.prefix))

    assert machine.problems("python") == ""


def test_another_python_is_named(machine, doctor, monkeypatch):
    monkeypatch.setattr(doctor, "VENV", Path("/opt/venv"))

    assert "is not the Python of /opt/venv" in machine.problems("python")


def test_an_old_python_is_named(machine, doctor, monkeypatch):
    monkeypatch.setattr(doctor, "VENV", Path(sys.prefix))
    machine.facts["minimum_python"] = "3.99"

    assert "3.99 or newer is needed" in machine.problems("python")


# ---------------------------------------------------------------- packages


def test_one_of_each_package_is_fine(machine):
    machine.onnxruntime()
    machine.torch()
    machine.dist("opencv-python-headless", "4.13.0.92")

    assert machine.problems("packages") == ""


def test_a_package_that_is_missing_is_named(machine):
    machine.facts["packages"] = ["numpy", "opencv-python-headless"]
    machine.onnxruntime()
    machine.torch()
    machine.dist("opencv", "4.12.0")  # NVIDIA's own

    assert machine.problems("packages").startswith("numpy is not installed")
    assert "opencv-python-headless is not installed" not in machine.problems("packages")


def test_who_asks_for_the_wrong_package_is_named(machine, doctor):
    machine.dist("albumentations", "2.0", "opencv-python>=4.9")
    machine.dist("other", "1.0", "opencv-python-headless")
    machine.dist("opencv-python", "4.12")

    assert doctor.who_asks("opencv-python") == "opencv-python is asked for by albumentations"
    assert doctor.who_asks("numpy") == "numpy is asked for by pyproject.toml itself"


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


def test_torch_from_pypi_on_nvidias_image_is_named(machine, doctor, monkeypatch):
    machine.facts["cuda_from"] = "ngc"
    machine.onnxruntime()
    machine.torch()
    monkeypatch.setattr(doctor, "VENV", machine.root)

    assert "from PyPI hides the one of NVIDIA's image" in machine.problems("packages")


def test_torch_of_nvidias_image_is_fine(machine, doctor, monkeypatch):
    machine.facts["cuda_from"] = "ngc"
    machine.facts["frameworks"]["torch"]["version"] = None
    machine.onnxruntime()
    machine.torch("2.14.0a0+b2c75dd062.nv26.9")
    monkeypatch.setattr(doctor, "VENV", machine.root / "venv")

    assert machine.problems("packages") == ""


# ---------------------------------------------------------------- cuda-major


def test_one_cuda_for_both_frameworks_is_fine(machine):
    machine.onnxruntime()
    machine.torch(cuda="13.2")

    assert machine.problems("cuda-major") == ""


def test_two_cudas_are_named_with_the_versions_that_fit(machine):
    machine.onnxruntime(version="1.26.0", cuda="12.8")
    machine.torch()

    problems = machine.problems("cuda-major")

    assert "onnxruntime 1.26.0 is for CUDA 12.8, torch 2.14.1 is for CUDA 13.0" in problems
    assert "onnxruntime-gpu[cuda,cudnn]==1.31.1, torch==2.14.1 in pyproject.toml" in problems


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


# ---------------------------------------------------------------- libraries


def test_libraries_of_the_wheels_are_fine_with_a_driver(machine):
    machine.onnxruntime()
    machine.torch()
    machine.cuda_wheels()
    wheel = f"\tlibcudart.so.13 => {machine.site}/nvidia/cu13/lib/libcudart.so.13 (0x1)\n"
    machine.prints("ldd", wheel + "\tlibcuda.so.1 => /usr/lib/x86_64-linux-gnu/libcuda.so.1 (0x2)\n")

    assert machine.problems("libraries") == ""


def test_libraries_of_the_wheels_are_fine_without_a_driver(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    with (machine.root / "ldd.out").open("a") as ldd:
        ldd.write("\tlibcuda.so.1 => not found\n\tlibnvidia-ml.so.1 => not found\n")

    (finding,) = machine.finds("libraries")

    assert finding.status == "ok"
    assert finding.found == "2 in nvidia/cu13/lib, 8 in nvidia/cudnn/lib"
    assert f"onnxruntime: libcufft.so.12 => {machine.site}/nvidia/cu13/lib/libcufft.so.12" in finding.details


def test_a_library_that_is_linked_but_missing_is_named(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    machine.prints("ldd", "\tlibcublasLt.so.13 => not found\n\tlibcublas.so.13 => not found\n")

    problems = machine.problems("libraries")

    assert "libcublasLt.so.13 cannot be found, and onnxruntime needs it" in problems
    assert "also missing: libcublas.so.13" in problems


@pytest.mark.parametrize(
    "library", ["cu13/lib/libcufft.so.12", "cudnn/lib/libcudnn.so.9", "cudnn/lib/libcudnn_adv.so.9"]
)
def test_a_library_that_is_loaded_late_and_missing_is_named(machine, library):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    (machine.site / "nvidia" / library).unlink()

    assert f"{Path(library).name} cannot be found" in machine.problems("libraries")


def test_a_damaged_library_is_named(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    (machine.site / "nvidia/cu13/lib/libcufft.so.12").write_text("not a library")

    assert "libcufft.so.12: " in machine.problems("libraries")


def test_a_library_from_elsewhere_hides_no_missing_wheel(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    machine.prints("ldd", "\tlibcudart.so.13 => /usr/local/cuda/lib64/libcudart.so.13 (0x1)\n")

    assert "/usr/local/cuda/lib64/libcudart.so.13: not from" in machine.problems("libraries")


def test_libraries_of_the_image_are_fine_where_they_belong_there(machine):
    machine.facts["cuda_from"] = "image"
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    machine.prints("ldd", "\tlibcudart.so.13 => /usr/local/cuda/lib64/libcudart.so.13 (0x1)\n")

    assert machine.problems("libraries") == ""


def test_a_missing_library_of_the_image_is_asked_of_the_image(machine):
    machine.facts["cuda_from"] = "image"
    machine.onnxruntime()
    machine.without("torch")
    machine.prints("ldd", "")

    problems = machine.problems("libraries")

    assert "libcudnn.so.9 cannot be found" in problems
    assert "leave BASE_IMAGE in .env empty" in problems


def test_parts_of_cudnn_that_wait_for_the_driver_are_no_problem(machine, doctor, monkeypatch):
    error = "libcuda.so.1: cannot open shared object file: No such file or directory"
    monkeypatch.setattr(doctor, "python", lambda *_, **__: (json.dumps(["", error]), ""))

    assert doctor.opened(["/x/libcudnn_ops.so.9"]) == ({"libcudnn_ops.so.9": "/x/libcudnn_ops.so.9"}, {})


# ---------------------------------------------------------------- imports


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

    assert "import torch: ImportError: libGL.so.1" in machine.problems("imports")


def test_a_crash_while_importing_is_a_finding(machine):
    machine.onnxruntime(code="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    machine.torch()

    assert "import onnxruntime: killed by SIGSEGV" in machine.problems("imports")


def test_an_import_that_hangs_is_a_finding(machine, doctor):
    _, error = doctor.python("import time; time.sleep(60)", seconds=1)

    assert error == "no answer within 1 s"


# ---------------------------------------------------------------- cudnn


def test_one_cudnn_is_fine(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()

    (finding,) = machine.finds("cudnn")

    assert finding.status == "ok"
    assert finding.found.endswith("libcudnn.so.9 (used by onnxruntime)")


def test_two_cudnns_are_named_with_their_users(machine):
    machine.onnxruntime()
    machine.torch()
    machine.cuda_wheels()
    wheel = machine.site / "nvidia/cudnn/lib/libcudnn.so.9"
    image = machine.library(machine.root / "image/libcudnn.so.9")
    machine.prints("ldconfig", f"\tlibcudnn.so.9 (libc6,x86-64) => {image}\n")
    machine.monkeypatch.setenv("LD_LIBRARY_PATH", str(image.parent))
    machine.tool("ldd", f'case $1 in *torch*) echo "\tlibcudnn.so.9 => {wheel} (0x1)" ;; esac')

    problems = machine.problems("cudnn")

    assert "2 copies of libcudnn.so.9" in problems
    assert f"{image} (used by onnxruntime)" in problems
    assert f"{wheel} (used by torch)" in problems


def test_links_to_one_cudnn_are_one_copy(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    link = machine.root / "libcudnn.so.9"
    link.symlink_to(machine.site / "nvidia/cudnn/lib/libcudnn.so.9")
    machine.prints("ldconfig", f"\tlibcudnn.so.9 (libc6,x86-64) => {link}\n")

    assert machine.problems("cudnn") == ""


def test_cudnn_for_two_cudas_is_named(machine):
    machine.onnxruntime()
    machine.torch()
    machine.dist("nvidia-cudnn-cu12", "9.10.2.21")
    machine.dist("nvidia-cudnn-cu13", "9.28.1.4")

    problems = machine.problems("cudnn")

    assert "nvidia-cudnn-cu12 9.10.2.21 and nvidia-cudnn-cu13 9.28.1.4 are installed together" in problems


@pytest.mark.parametrize("check", ["cuda-major", "libraries", "cudnn", "gpu", "driver", "kernels"])
def test_a_cpu_environment_needs_no_cuda(machine, check):
    (finding,) = machine.finds(check, "cpu")

    assert (finding.status, finding.found) == ("skipped", "not needed: ACCELERATOR=cpu")


# ---------------------------------------------------------------- gpu, driver, kernels


def test_a_gpu_is_fine(machine):
    machine.gpu()

    assert machine.problems("gpu") == ""


def test_the_gpu_of_wsl_is_fine(machine):
    (machine.root / "dev/dxg").touch()

    assert machine.problems("gpu") == ""


def test_a_reservation_without_a_gpu_is_named(machine, monkeypatch):
    (machine.root / "dev/nvidiactl").touch()
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")

    assert "NVIDIA_VISIBLE_DEVICES=all, but there is no GPU in this container" in machine.problems("gpu")


def test_no_reservation_is_named(machine):
    assert "none was asked for" in machine.problems("gpu")


@pytest.mark.parametrize("driver", ["580.65.06", "580.105", "1000.1"])
def test_a_new_driver_is_fine(machine, driver):
    machine.gpu(driver)

    assert machine.problems("driver") == ""


@pytest.mark.parametrize("driver", ["580.65.05", "99.99", "525.147.05"])
def test_an_old_driver_is_named(machine, driver):
    machine.gpu(driver)

    assert f"the driver {driver} is too old: 580.65.06 or newer" in machine.problems("driver")


def test_an_old_driver_is_named_without_nvidia_smi(machine):
    (machine.root / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")

    assert "the driver 550.54.15 is too old" in machine.problems("driver")


def test_an_unknown_driver_is_named(machine):
    (machine.root / "dev/nvidia0").touch()
    machine.tool("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")

    assert "the driver's version is unknown" in machine.problems("driver")


def test_an_old_driver_with_forward_compatibility_is_fine(machine, monkeypatch):
    machine.gpu(driver="550.54.15")
    monkeypatch.setattr(machine.doctor, "driver_speaks", lambda cuda: cuda == 13)

    assert "by forward compatibility" in machine.finds("driver")[0].found


def test_without_a_gpu_the_driver_is_skipped(machine):
    assert [finding.status for finding in machine.finds("driver")] == ["skipped"]


@pytest.mark.parametrize(
    ("architecture", "capability", "right"),
    [
        ("8.6", "8.6", True),
        ("8.6", "8.9", True),
        ("8.6", "8.0", False),
        ("8.6", "9.0", False),
        ("9.0a", "9.0", True),
        ("12.0a", "12.1", False),
        ("12.0+PTX", "12.1", True),
        ("12.0+PTX", "13.0", True),
        ("12.0+PTX", "10.0", False),
        ("9.0", "10.0", False),
        ("7.5", "7.0", False),
    ],
)
def test_an_architecture_serves_its_gpus(doctor, architecture, capability, right):
    assert doctor.serves(architecture, capability) == right


def test_a_gpu_with_kernels_is_fine(machine):
    machine.onnxruntime()
    machine.torch()
    machine.gpu(capability="7.5", name="Tesla T4")

    findings = machine.finds("kernels")

    assert [finding.found for finding in findings] == ["onnxruntime: Tesla T4 (7.5)", "torch: Tesla T4 (7.5)"]


def test_the_page_on_compatibility_and_the_doctor_say_the_same_of_every_gpu(doctor):
    lines = load()["lines"].values()
    built = [line[f"{name}_architectures"]["value"] for line in lines for name in docs.FRAMEWORKS]

    for gpu, architectures in itertools.product(docs.GPUS, built):
        served = any(doctor.serves(architecture, gpu) for architecture in architectures)
        assert served == (docs.code_for(gpu, architectures) is not None), (gpu, architectures)


def test_where_the_image_decides_torch_itself_is_asked_for_its_kernels(machine):
    machine.gpu(capability="12.0", name="RTX 5090")
    machine.without("onnxruntime")
    machine.facts["frameworks"]["torch"] |= {"version": None, "architectures": None}
    asked = "class cuda:\n    def get_arch_list(): return ['sm_90', 'compute_90']\n"
    machine.torch(version="2.14.0a0+nv26.09", code=asked)

    assert machine.problems("kernels") == ""

    machine.module("torch", asked.replace(", 'compute_90'", ""))
    assert "torch has no kernels for RTX 5090 (12.0), only for 9.0" in machine.problems("kernels")


def test_a_gpu_without_kernels_is_named(machine):
    machine.onnxruntime()
    machine.torch()
    machine.gpu(capability="12.1", name="NVIDIA GB10")

    problems = machine.problems("kernels")

    assert "onnxruntime has no kernels for NVIDIA GB10 (12.1)" in problems
    assert "torch" not in problems  # has PTX


def test_kernels_of_another_version_are_not_judged(machine):
    machine.onnxruntime(version="1.30.0")
    machine.without("torch")
    machine.gpu(capability="7.0", name="Tesla V100")

    assert [finding.status for finding in machine.finds("kernels")] == ["skipped"]


# ---------------------------------------------------------------- onnxruntime, torch

SESSION = """
class Result(list):
    flatten = tolist = lambda self: self
class InferenceSession:
    def __init__(self, model, providers, enable_fallback):
        self.providers = {providers}
    def get_providers(self):
        return self.providers
    def run(self, outputs, inputs):
        return [Result({numbers})]
"""
NUMPY = (
    "float32 = 0\nclass arange:\n    def __init__(self, *_, **__): ...\n    reshape = lambda self, *_: self"
)


def test_a_session_on_the_gpu_is_fine(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    machine.onnxruntime(code=SESSION.format(providers="providers", numbers=RIGHT_NUMBERS))

    assert machine.problems("onnxruntime") == ""


def test_a_session_that_falls_back_to_the_cpu_is_named(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    machine.onnxruntime(code=SESSION.format(providers="['CPUExecutionProvider']", numbers=RIGHT_NUMBERS))

    assert "the session runs on CPUExecutionProvider" in machine.problems("onnxruntime")


def test_the_reason_for_a_fallback_comes_from_onnx_runtimes_log(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    log = "import sys\nsys.stderr.write('\\x1b[1;31m[E:onnxruntime:Default] FAIL : Failed to load library"
    log += " x.so with error: libcudnn.so.9: cannot open shared object file\\n\\x1b[m')\n"
    machine.onnxruntime(code=log + SESSION.format(providers="['CPU']", numbers=RIGHT_NUMBERS))

    problems = machine.problems("onnxruntime")

    assert "on CUDAExecutionProvider: libcudnn.so.9: cannot open shared object file |" in problems


@pytest.mark.parametrize("numbers", ["[0.0, 0.0, 0.0, 0.0]", "[float('nan')] * 4"])
def test_wrong_numbers_are_named(machine, numbers):
    machine.gpu()
    machine.module("numpy", NUMPY)
    machine.onnxruntime(code=SESSION.format(providers="providers", numbers=numbers))

    assert "[1140, 1692, 1716, 2556] is right" in machine.problems("onnxruntime")


def test_a_torch_that_cannot_use_the_gpu_is_named(machine):
    machine.gpu()
    machine.torch(code="def arange(*_): raise RuntimeError('No CUDA GPUs are available')")

    assert "torch cannot compute on cuda: RuntimeError: No CUDA GPUs" in machine.problems("torch")


def test_without_a_gpu_nothing_is_computed(machine):
    machine.onnxruntime()

    assert [finding.status for finding in machine.finds("onnxruntime")] == ["skipped"]


# ---------------------------------------------------------------- shared-memory, user, folders


@pytest.mark.parametrize(("mib", "fine"), [(2048, True), (2047, False), (64, False)])
def test_shared_memory_must_be_large_enough(machine, monkeypatch, mib, fine):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=4096, f_blocks=mib * 256))

    problems = machine.problems("shared-memory")

    assert fine or "shm_size: 2048m" in problems
    assert fine == (problems == "")


def test_shared_memory_does_not_matter_without_a_training_loader(machine):
    machine.facts["shared_memory_mib"] = None

    assert [finding.status for finding in machine.finds("shared-memory")] == ["skipped"]


def test_a_user_with_a_name_and_a_home_is_fine(machine, monkeypatch):
    monkeypatch.setenv("USER", "app")
    monkeypatch.setenv("HOME", "/home/app")

    assert machine.problems("user") == ""


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_named(machine, monkeypatch, error):
    def no_name():
        raise error

    monkeypatch.setattr(getpass, "getuser", no_name)

    assert f"uid {os.geteuid()} has no name" in machine.problems("user")


def test_a_user_without_a_home_is_named(machine, monkeypatch):
    monkeypatch.setenv("USER", "app")
    monkeypatch.delenv("HOME")

    assert "HOME is not set" in machine.problems("user")


@pytest.fixture
def folders(machine, doctor, monkeypatch):
    """/code, /cache, HOME and the environment as folders of a test."""
    folders = {name: machine.root / name for name in ("code", "cache", "home", "environment")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(doctor, "CODE", folders["code"])
    monkeypatch.setattr(doctor, "CACHE", folders["cache"])
    monkeypatch.setenv("HOME", str(folders["home"]))
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda _: str(folders["environment"]))
    return folders


def refuse(monkeypatch, folder: Path, number: int) -> None:
    """As the kernel would: root, who runs the tests in a container, may write everywhere."""
    real = tempfile.TemporaryFile

    def temporary_file(dir):
        if dir == folder:
            raise OSError(number, os.strerror(number))
        return real(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)


def test_folders_that_can_be_written_are_fine_and_stay_empty(machine, folders):
    assert machine.problems("folders") == ""
    assert not any(file for folder in folders.values() for file in folder.iterdir())


@pytest.mark.parametrize("name", ["code", "cache", "home", "environment"])
def test_a_folder_of_somebody_else_is_named_with_both_ids(machine, folders, monkeypatch, name):
    refuse(monkeypatch, folders[name], EACCES)

    problems = machine.problems("folders")

    its, you = folders[name].stat(), f"{os.geteuid()}:{os.getegid()}"
    assert f"{folders[name]} cannot be written: it belongs to {its.st_uid}:{its.st_gid}" in problems
    assert f"you are {you}" in problems
    assert len(problems.splitlines()) == 1


def test_ids_that_do_not_own_the_project_are_named(machine, folders, monkeypatch):
    monkeypatch.setenv("USER_ID", "4242")
    refuse(monkeypatch, folders["code"], EACCES)

    problems = machine.problems("folders")

    assert "USER_ID=4242 you do not own it" in problems
    assert "leave USER_ID and GROUP_ID in .env empty" in problems


def test_a_read_only_folder_is_named_as_such(machine, folders, monkeypatch):
    refuse(monkeypatch, folders["code"], EROFS)

    assert "it is on a read-only file system" in machine.problems("folders")


def test_a_folder_that_does_not_exist_is_named(machine, folders):
    folders["cache"].rmdir()

    assert "cannot be written: no such file or directory" in machine.problems("folders")


# ---------------------------------------------------------------- the report


def test_a_check_that_crashes_is_a_problem_and_the_others_go_on(machine, doctor, monkeypatch, capsys):
    def check_broken(facts):
        yield doctor.ok("so far")
        raise RuntimeError("surprise")

    def check_after(facts):
        yield doctor.ok("still here")

    monkeypatch.setattr(doctor, "CHECKS", [doctor.Check(check_broken), doctor.Check(check_after)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    code = doctor.main([])

    out = capsys.readouterr().out
    assert code == 1
    assert "PROBLEM  broken         the check itself failed: RuntimeError: surprise" in out
    assert "ok       after          still here" in out
    assert "Traceback" not in out


def test_json_has_every_finding_with_its_check(machine, doctor, monkeypatch, capsys):
    def check_one_thing(facts):
        yield doctor.ok("fine")
        yield doctor.problem("broken", "it matters", "type this")

    monkeypatch.setattr(doctor, "CHECKS", [doctor.Check(check_one_thing)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    code = doctor.main(["--json"])

    findings = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [(f["check"], f["status"]) for f in findings] == [("one-thing", "ok"), ("one-thing", "problem")]
    assert [findings[1][key] for key in ("found", "why", "fix")] == ["broken", "it matters", "type this"]


def test_a_build_runs_what_needs_no_gpu_and_no_mounts(machine, doctor, capsys):
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    doctor.main(["--build", "--json"])

    names = dict.fromkeys(finding["check"] for finding in json.loads(capsys.readouterr().out))
    assert list(names) == ["python", "packages", "cuda-major", "libraries", "cudnn", "imports"]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"environment": "full"}'])
def test_a_broken_environment_file_is_one_clear_line(machine, doctor, capsys, text):
    if text is not None:
        (machine.root / "environment.json").write_text(text)

    code = doctor.main([])

    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith(f"doctor: {machine.root}/environment.json cannot be used")
    assert len(err.splitlines()) == 1


def test_an_unknown_accelerator_is_one_clear_line(machine, doctor, monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATOR", "tpu")

    assert doctor.main([]) == 1
    assert capsys.readouterr().err == "doctor: ACCELERATOR=tpu is unknown: nvidia or cpu\n"


def test_an_unknown_option_is_a_usage_error(doctor):
    with pytest.raises(SystemExit) as error:
        doctor.main(["--verbose"])

    assert error.value.code == 2


def test_ctrl_c_ends_it_without_a_traceback(machine, doctor, monkeypatch, capsys):
    def check_slow(facts):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "CHECKS", [doctor.Check(check_slow)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    assert doctor.main([]) == 130
    assert capsys.readouterr().err == ""
