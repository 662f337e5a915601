"""The checks of GPU, driver and kernels; no GPU needed."""

import errno
import itertools
import os
import re
from pathlib import Path

import pytest
from doctor import gpu

from capy_template.matrix import load
from compatibility import gpus


@pytest.mark.parametrize("check", ["cuda-major", "libraries", "cudnn", "gpu", "driver", "kernels"])
def test_a_cpu_environment_needs_no_cuda(machine, check):
    (finding,) = machine.finds(check, "cpu")

    assert (finding.status, finding.found) == ("skipped", "not needed: ACCELERATOR=cpu")


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
    assert "none was requested" in machine.problems("gpu")


@pytest.mark.parametrize("visible", ["", "all"])
def test_who_gets_no_gpu_from_podman_is_told_of_the_detection(machine, monkeypatch, visible):
    """There `driver: nvidia` by docker-compose gives no GPU and no error."""
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", visible)

    assert "with Podman, remove ACCELERATOR from .env, then: sh docker/write-env.sh" in machine.problems(
        "gpu"
    )


@pytest.mark.parametrize("driver", ["580.65.06", "580.105", "1000.1"])
def test_a_new_driver_is_fine(machine, driver):
    machine.gpu(driver)

    assert machine.problems("driver") == ""


@pytest.mark.parametrize("driver", ["580.65.05", "99.99", "525.147.05"])
def test_an_old_driver_is_named(machine, driver):
    machine.gpu(driver)

    assert f"the driver {driver} is too old: 580.65.06 or newer" in machine.problems("driver")


@pytest.mark.parametrize(("line", "cuda", "limit"), [("cu13-py312", 13, False), ("cu12-py312", 12, True)])
def test_the_last_driver_for_old_gpus_is_named_where_they_work(machine, line, cuda, limit):
    machine.facts |= {"line": line, "cuda": cuda}
    machine.gpu("470.0.0")

    assert ("(V100, P100 and GTX 10: at most 580)" in machine.problems("driver")) == limit


def test_an_old_driver_is_named_without_nvidia_smi(machine):
    (machine.root / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")

    assert "the driver 550.54.15 is too old" in machine.problems("driver")


def test_an_unknown_driver_is_named(machine):
    (machine.root / "dev/nvidia0").touch()
    machine.tool("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")

    assert "the driver's version is unknown" in machine.problems("driver")


def test_an_old_driver_with_forward_compatibility_is_fine(machine, monkeypatch):
    machine.gpu(driver="550.54.15")
    monkeypatch.setattr(gpu, "driver_supports", lambda cuda: cuda == 13)

    assert "by forward compatibility" in machine.finds("driver")[0].found


FAKE_CTYPES = """
class c_int: value = 0
byref = lambda version: version
class CDLL:
    def __init__(self, name): assert name == "libcuda.so.1"
    def cuInit(self, flags): self.error = {error}; return self.error
    def cuDriverGetVersion(self, version): version.value = {version}
"""


@pytest.mark.parametrize(
    ("error", "version", "fine"), [(0, 13000, True), (0, 12080, False), (804, 13000, False)]
)
def test_forward_compatibility_counts_where_the_gpu_has_it(machine, error, version, fine):
    """With the compatibility package, the driver's own version says nothing: cuInit refuses a GeForce."""
    machine.gpu(driver="550.54.15")
    machine.module(
        "ctypes", "print('a line of sitecustomize')\n" + FAKE_CTYPES.format(error=error, version=version)
    )

    assert ("the driver 550.54.15 is too old" in machine.problems("driver")) == (not fine)


INFOROM = "WARNING: infoROM is corrupted at gpu 0000:3B:00.0"


@pytest.mark.parametrize(
    "script", [f"echo '{INFOROM}'; echo 580.95.05", f"echo 580.95.05; echo '{INFOROM}'; exit 14"]
)
def test_a_warning_of_nvidia_smi_does_not_hide_the_version(machine, script):
    machine.gpu()
    machine.tool("nvidia-smi", script)

    (finding,) = machine.finds("driver")

    assert (finding.status, finding.found.split()[0]) == ("ok", "580.95.05")
    assert machine.problems("gpu") == ""


def test_a_warning_of_nvidia_smi_is_no_gpu(machine):
    machine.tool("nvidia-smi", f"echo '{INFOROM}, see the manual'; echo '9.0, NVIDIA H100'; exit 14")

    assert gpu.query_gpus() == [["9.0", "NVIDIA H100"]]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch", "reboot the host"),
        (
            "No devices were found",
            "need the open kernel modules (Ubuntu: nvidia-driver-580-open), V100, P100 and GTX 10",
        ),
        ("NVIDIA-SMI has failed", "on the host: nvidia-smi"),
    ],
)
def test_an_nvidia_smi_that_fails_is_named_with_its_first_line(machine, line, advice):
    machine.gpu()
    machine.tool("nvidia-smi", f"echo '{line}'; echo 'NVML library version: 580.95'; exit 18")
    (machine.root / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.09  Tue\n")

    assert f"nvidia-smi fails: {line} | " in machine.problems("gpu")
    assert advice in machine.problems("gpu")
    assert [finding.status for finding in machine.finds("driver")] == ["skipped"]


def refuse(monkeypatch, number: int, *names: str) -> None:
    """As the kernel would: root, who runs the tests in a container, may open every file."""
    real = os.open

    def refusing(path, *more, **named):
        if Path(path).name in names:
            raise OSError(number, os.strerror(number))
        return real(path, *more, **named)

    monkeypatch.setattr(gpu.os, "open", refusing)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_one_gpu_of_several_is_enough(machine, monkeypatch, number):
    """As in a Slurm job: all devices are visible, and one may be opened."""
    machine.gpu()
    (machine.root / "dev/nvidia1").touch()
    refuse(monkeypatch, number, "nvidia0")

    (finding,) = machine.finds("gpu")

    dev = machine.root / "dev"
    assert finding.status == "ok"
    assert finding.found == f"{dev}/nvidia1; not for this container: {dev}/nvidia0"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EPERM, "systemctl daemon-reload"),
        (errno.EPERM, "if a new container has it, too, on the host: no-cgroups = false in /etc/nvidia-c"),
        (errno.EACCES, "write group_add: ["),
    ],
)
def test_gpus_that_cannot_be_opened_are_named(machine, monkeypatch, number, advice):
    machine.gpu()
    (machine.root / "dev/nvidia1").touch()
    refuse(monkeypatch, number, "nvidia0", "nvidia1")

    problems = machine.problems("gpu")

    assert f"/nvidia1 cannot be opened: {os.strerror(number).lower()} |" in problems
    assert advice in problems
    assert len(problems.splitlines()) == 1


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
        ("8.0", "8.7", False),  # Jetson Orin
        ("8.7", "8.7", True),
        ("8.0+PTX", "8.7", True),
        ("12.0", "12.1", True),
    ],
)
def test_an_architecture_runs_on_its_gpus(architecture, capability, right):
    assert gpu.supports(architecture, capability) == right


def test_a_gpu_with_kernels_is_fine(machine):
    machine.onnxruntime()
    machine.torch()
    machine.gpu(capability="7.5", name="Tesla T4")

    findings = machine.finds("kernels")

    assert [finding.found for finding in findings] == ["onnxruntime: Tesla T4 (7.5)", "torch: Tesla T4 (7.5)"]


def test_the_page_on_compatibility_and_the_doctor_say_the_same_of_every_gpu():
    lines = load()["lines"].values()
    known = [line[f"{name}_architectures"]["value"] for line in lines for name in gpus.FRAMEWORKS]
    built = [architectures for of_machine in known for architectures in of_machine.values()]

    for capability, architectures in itertools.product(gpus.GPUS["x86_64"] | gpus.GPUS["aarch64"], built):
        supported = any(gpu.supports(architecture, capability) for architecture in architectures)
        documented = gpus.code_for(capability, architectures) is not None
        assert supported == documented, (capability, architectures)


def test_where_the_image_decides_torch_itself_is_asked_for_its_kernels(machine):
    machine.gpu(capability="12.0", name="RTX 5090")
    machine.without("onnxruntime")
    machine.facts["frameworks"]["torch"] |= {"version": None, "architectures": {}}
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
    assert "take another GPU: GPU_IDS in .env" in problems
    assert "torch" not in problems  # has PTX


def test_kernels_of_another_version_are_not_judged(machine):
    machine.onnxruntime(version="1.30.0")
    machine.without("torch")
    machine.gpu(capability="7.0", name="Tesla V100")

    assert [finding.status for finding in machine.finds("kernels")] == ["skipped"]


@pytest.mark.parametrize(
    ("processor", "capability", "lacking"),
    [
        ("aarch64", "12.1", []),
        ("x86_64", "12.1", ["onnxruntime"]),
        ("aarch64", "9.0", []),
        ("aarch64", "8.0", ["onnxruntime"]),
        ("aarch64", "7.5", ["onnxruntime", "torch"]),
        ("x86_64", "7.5", []),
        ("aarch64", "8.7", ["onnxruntime", "torch"]),
    ],
    ids=["DGX Spark", "none such", "GH200", "A100 beside Arm", "T4G", "T4", "Jetson Orin"],
)
def test_a_gpu_is_judged_by_the_code_in_the_packages_for_its_processor(
    machine, processor, capability, lacking
):
    machine.onnxruntime()
    machine.torch()
    machine.processor(processor)
    machine.gpu(capability=capability, name="G")

    findings = machine.finds("kernels")

    problems = [finding.found for finding in findings if finding.status == "problem"]
    assert [text.split()[0] for text in problems] == lacking
    assert all(f"no kernels for G ({capability}), only for" in text for text in problems)
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("processor", "line", "advised"),
    [
        ("x86_64", "cu13-py312", ["cu12-py312"]),
        ("x86_64", "cu12-py312", ["cu13-py312"]),
        ("aarch64", "cu13-py312", []),
    ],
)
def test_only_a_line_that_the_processor_has_is_advised_for_a_gpu(machine, processor, line, advised):
    machine.facts["line"] = line
    machine.onnxruntime()
    machine.torch()
    machine.processor(processor)
    machine.gpu(capability="6.0", name="P100")

    assert re.findall(r"cuda=(\S+?)(?= |;|$)", machine.problems("kernels").splitlines()[0]) == advised


@pytest.mark.parametrize(
    ("line", "cuda", "processor", "advised"),
    [
        ("cu13-py312", 13, "x86_64", ["cu12-py312"]),
        ("cu12-py312", 12, "x86_64", []),  # another one would ask for a newer driver
        ("cu13-py312", 13, "aarch64", []),
    ],
)
def test_only_a_line_for_an_older_driver_is_advised_for_one(machine, line, cuda, processor, advised):
    machine.facts |= {"line": line, "cuda": cuda}
    machine.processor(processor)
    machine.gpu(driver="470.0.0")

    assert re.findall(r"cuda=(\S+?)(?= |;|$)", machine.problems("driver")) == advised
