"""The checks of the CUDA libraries; the libraries are real, their contents are not."""

import json
from pathlib import Path

import pytest
from doctor import libraries

from tests.generation.doctor.elf_file import elf


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


def test_without_pytorch_the_advice_names_the_cuda_packages_and_no_extra(machine):
    """An override of pyproject.toml drops ONNX Runtime's extras, so they would bring nothing."""
    machine.onnxruntime()
    machine.without("torch")
    machine.facts["cuda_packages"] = ["nvidia-cublas~=13.0", "nvidia-cudnn-cu13~=9.0"]
    machine.cuda_wheels()
    machine.prints("ldd", "\tlibcublas.so.13 => not found\n")

    problems = machine.problems("libraries")

    assert (
        "onnxruntime-gpu==1.31.1, nvidia-cublas~=13.0, nvidia-cudnn-cu13~=9.0 in pyproject.toml" in problems
    )


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


def test_parts_of_cudnn_that_wait_for_the_driver_are_no_problem(machine, monkeypatch):
    error = "libcuda.so.1: cannot open shared object file: No such file or directory"
    monkeypatch.setattr(libraries, "python", lambda *_, **__: ("opened: " + json.dumps(["", error]), ""))

    assert libraries.opened(["/x/libcudnn_ops.so.9"]) == ({"libcudnn_ops.so.9": "/x/libcudnn_ops.so.9"}, {})


def test_what_a_pth_file_prints_is_no_answer(machine):
    machine.module("sitecustomize", "print('hello')")

    found, errors = libraries.opened(["libdl.so.2", "libnowhere.so.1"])

    assert [*found] == ["libdl.so.2"]
    assert [*errors] == ["libnowhere.so.1"]


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


def test_a_cudnn_in_a_second_package_is_named_with_what_asks_for_it(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    machine.dist("nvidia-cudnn-cu13", "9.24", files=["nvidia/cudnn/lib/libcudnn.so.9"])
    machine.wheel("speech", "4.5", files={"speech/lib/libcudnn.so.9": elf(soname="libcudnn.so.9")})
    machine.dist("subtitles", "1.2", "speech>=4")

    problems = machine.problems("cudnn")

    assert "speech 4.5 and nvidia-cudnn-cu13 9.24 each bring a libcudnn.so.9" in problems
    assert "speech is required by subtitles" in problems


def test_a_cudnn_that_a_wheel_renamed_is_its_own_business(machine):
    machine.onnxruntime()
    machine.without("torch")
    machine.cuda_wheels()
    name = "libcudnn-74a4c495.so.9.1.0"
    machine.wheel("speech", "4.5", files={f"speech.libs/{name}": elf(soname=name)})

    assert machine.problems("cudnn") == ""
