"""The check of packages that are linked with PyTorch."""

import pytest
from doctor import shared_objects

from tests.generation.doctor.elf_file import elf

CPU = ("libc10.so", "libtorch.so", "libtorch_cpu.so")
CUDA = (*CPU, "libc10_cuda.so", "libtorch_cuda.so", "libcudart.so.13")


def install_torch(machine, version="2.14.1", cuda=True):
    files = {"torch/lib/libtorch.so": elf(), "torch/lib/libc10.so": elf(), "torch/lib/libtorch_cpu.so": elf()}
    if cuda:
        files |= {"torch/lib/libtorch_cuda.so": elf(), "torch/lib/libc10_cuda.so": elf()}
    machine.wheel("torch", version, files=files)


def test_packages_for_this_pytorch_are_fine(machine):
    install_torch(machine)
    machine.wheel("torchvision", "0.29.2", "torch==2.14.1", files={"torchvision/_C.so": elf(*CUDA)})
    machine.wheel("torchaudio", "2.11.0", files={"torchaudio/lib/libtorchaudio.so": elf(*CUDA)})
    machine.wheel("graphs", "2.1+pt214cu130", files={"graphs/_scatter.so": elf(*CUDA)})
    machine.dist("timm", "1.0", "torch==1.0")  # Python alone: a matter of its requirements

    (finding,) = machine.finds("torch-builds")

    assert finding.status == "ok"
    assert finding.found == "torch 2.14.1, graphs 2.1+pt214cu130, torchaudio 2.11.0, torchvision 0.29.2"


def test_without_pytorch_there_is_nothing_to_check(machine):
    assert [finding.status for finding in machine.finds("torch-builds")] == ["skipped"]


@pytest.mark.parametrize(
    "requirement", ["torch (==2.5.1)", "torch==2.5.1", "torch<2.6,>=2.5", "torch~=2.5.0"]
)
def test_a_package_for_another_pytorch_is_named(machine, requirement):
    install_torch(machine)
    machine.wheel("detector", "0.6", requirement, files={"detector/_C.abi3.so": elf(*CUDA, module="_C")})

    problems = machine.problems("torch-builds")

    assert "detector 0.6 is built for torch" in problems
    assert "2.5" in problems
    assert "installed is torch 2.14.1" in problems
    assert "write detector for torch 2.14.1 into pyproject.toml" in problems


@pytest.mark.parametrize(
    ("version", "built_for"),
    [("2.8.3+cu12torch2.9", "2.9"), ("1.5.0+pt29cu130", "2.9"), ("0.3+cu130.torch2.13.0", "2.13")],
)
def test_a_version_that_names_another_pytorch_is_enough(machine, version, built_for):
    install_torch(machine)
    machine.dist("kernels", version, "torch")

    assert f"kernels {version} is built for torch {built_for};" in machine.problems("torch-builds")


@pytest.mark.parametrize("name", ["torchvision", "torchtext-ops", "detector"])
def test_a_build_for_cuda_beside_a_pytorch_without_is_named(machine, name):
    install_torch(machine, "2.14.1+cpu", cuda=False)
    machine.wheel(name, "0.29", "torch>=2.14", files={f"{name}/_C.so": elf(*CUDA)})

    problems = machine.problems("torch-builds", "cpu")

    assert f"{name} 0.29 is built for CUDA ({name}/_C.so); torch 2.14.1+cpu is built without CUDA" in problems
    assert "[tool.uv.sources]" in problems


def test_the_symptom_of_torchvision_is_named(machine):
    install_torch(machine, "2.14.1+cpu", cuda=False)
    machine.wheel("torchvision", "0.29", files={"torchvision/_C.so": elf(*CUDA)})

    assert "operator torchvision::nms does not exist" in machine.problems("torch-builds", "cpu")


def test_an_optional_part_for_pytorch_with_cuda_is_a_remark(machine):
    install_torch(machine, "2.14.1+cpu", cuda=False)
    machine.wheel("points", "0.9", files={"points/ops_torch.so": elf(*CUDA)})

    assert machine.problems("torch-builds", "cpu") == ""
    assert "that part of it cannot be used" in machine.remarks("torch-builds", "cpu")[0]


@pytest.mark.parametrize(
    ("name", "version", "named"),
    [
        ("torchvision", "0.29.2", True),
        ("torchaudio", "2.11.0+cpu", True),
        ("clusters", "1.6+pt214cpu", True),
        ("torchtext", "0.18", False),  # never has code for a GPU
    ],
)
def test_a_build_without_cuda_beside_a_pytorch_for_cuda_is_named(machine, name, version, named):
    install_torch(machine)
    machine.wheel(name, version, files={f"{name}/_C.so": elf(*CPU)})

    problems = machine.problems("torch-builds")

    assert (f"{name} {version} is a build without CUDA; torch 2.14.1 is for CUDA" in problems) == named
    assert machine.problems("torch-builds", "cpu") == ""


def test_what_nvidias_image_brings_is_not_questioned(machine, monkeypatch):
    monkeypatch.setattr(shared_objects, "VENV", machine.root / "venv")
    install_torch(machine, "2.14.0a0+b2c75dd.nv26.9")
    machine.wheel("torchvision", "0.29.0a0", "torch==2.13", files={"torchvision/_C.so": elf(*CUDA)})

    assert machine.problems("torch-builds") == ""


def test_nvidias_own_pytorch_counts_as_the_release_that_it_is_made_of(machine):
    install_torch(machine, "2.14.0a0+b2c75dd.nv26.9")
    machine.wheel("torchvision", "0.29.0", "torch>=2.14.0", files={"torchvision/_C.so": elf(*CUDA)})

    assert machine.problems("torch-builds") == ""
