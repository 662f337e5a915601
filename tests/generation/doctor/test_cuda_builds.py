"""Test the check of packages that were built for another CUDA, or for CUDA in a CPU image."""

import pytest

from tests.generation.doctor.elf_file import elf


def test_packages_for_the_cuda_of_the_environment_are_fine(machine):
    machine.dist("cudf-cu13", "26.10")
    machine.wheel("sparse", "1.0+cu130", files={"sparse/_s.so": elf("libcublas.so.13", module="_s")})
    machine.wheel("fourier", "1.0", files={"fourier/_f.so": elf("libcufft.so.12", module="_f")})

    (finding,) = machine.finds("cuda-builds")

    assert (finding.status, finding.found) == ("ok", "3 packages besides the frameworks")


def test_packages_without_cuda_are_fine(machine):
    machine.wheel("plain", "1.0", files={"plain/_p.so": elf("libc.so.6", module="_p")})
    machine.dist("nvidia-ml-py", "13.6")  # Python alone, in spite of its name

    assert [finding.status for finding in machine.finds("cuda-builds")] == ["skipped"]
    assert [finding.status for finding in machine.finds("cuda-builds", "cpu")] == ["ok"]


@pytest.mark.parametrize(
    ("name", "version", "instead"),
    [
        ("cuml-cu11", "24.4", "write cuml-cu13 into pyproject.toml instead"),
        ("cupy-cuda11x", "13.3", "write cupy-cuda13x into pyproject.toml instead"),
        ("jax-cuda12-plugin", "0.7", "write jax-cuda13-plugin into pyproject.toml instead"),
        (
            "exllamav2",
            "0.2.4+cu121.torch2.4.0",
            "write a release of exllamav2 for CUDA 13 into pyproject.toml",
        ),
    ],
)
def test_a_name_or_a_version_says_that_it_is_for_another_cuda(machine, name, version, instead):
    machine.dist(name, version)
    machine.dist("forecasts", "1.0", f"{name}>=0.2")

    problems = machine.problems("cuda-builds")

    assert f"{name} {version} is built for CUDA 1" in problems
    assert "this environment is CUDA 13" in problems
    assert f"{instead}" in problems
    assert f"{name} is required by forecasts" in problems


@pytest.mark.parametrize(
    ("library", "major"),
    [("libcufft.so.10", 11), ("libnvrtc.so.11.2", 11), ("libnppig.so.12", 12), ("libcupti.so.12", 12)],
)
def test_a_module_that_needs_a_library_of_another_cuda_is_named(machine, library, major):
    machine.wheel(
        *("radar", "3.2"),
        files={
            "radar/_radar.so": elf("libradar.so.3", module="_radar"),
            "radar/lib/libradar.so.3": elf(library),
        },
    )

    problems = machine.problems("cuda-builds")

    assert f"radar 3.2 is built for CUDA {major} (radar/lib/libradar.so.3)" in problems
    assert machine.problems("shared-objects") == ""


def test_a_plugin_for_another_cuda_is_a_remark(machine):
    machine.wheel("points", "0.9", files={"points/ops_torch.so": elf("libcudart.so.12")})

    assert machine.problems("cuda-builds") == ""
    assert "points 0.9 has a part for CUDA 12 (points/ops_torch.so)" in machine.remarks("cuda-builds")[0]


BUNDLED = {
    "spconv/_core.so": elf("libcudart-a1b2c3d4.so.12.6.77", "libcuda.so.1", module="_core"),
    "spconv.libs/libcudart-a1b2c3d4.so.12.6.77": elf(soname="libcudart-a1b2c3d4.so.12.6.77"),
}


def test_a_package_that_brings_its_own_cuda_is_a_remark(machine):
    """auditwheel gave the library another name, so the environment's is not loaded for it."""
    machine.wheel("spconv-cu126", "2.3.8", files=BUNDLED)

    assert machine.problems("cuda-builds") == ""
    assert machine.remarks("cuda-builds")[0].startswith("spconv-cu126 2.3.8 is built for CUDA 12, and this")


@pytest.mark.parametrize("needed", ["libcudart.so.12", "libcublas.so.12", "libc10_cuda.so"])
def test_a_package_that_brings_a_part_of_its_cuda_is_named(machine, needed):
    machine.wheel("spconv-cu126", "2.3.8", files=BUNDLED | {"spconv/_more.so": elf(needed, module="_more")})

    problems = machine.problems("cuda-builds")

    assert "spconv-cu126 2.3.8 is built for CUDA 12" in problems


def test_a_package_that_opens_cuda_later_is_named(machine):
    """JAX's plugin needs no library by its name, and falls back to the CPU without it."""
    machine.wheel(
        "jax-cuda12-plugin", "0.12.0.1", files={"jax_cuda12/_rnn.so": elf("libc.so.6", module="_rnn")}
    )

    assert "jax-cuda12-plugin 0.12.0.1 is built for CUDA 12" in machine.problems("cuda-builds")


def test_no_name_is_advised_that_nobody_may_have_registered(machine):
    machine.dist("spconv-cu126", "2.3.8")

    problems = machine.problems("cuda-builds")

    assert "write its release for CUDA 13 into pyproject.toml, if there is one" in problems
    assert "spconv-cu13" not in problems


@pytest.mark.parametrize(("code", "named"), [("", False), ("import nothing_of_that_name", True)])
@pytest.mark.parametrize("accelerator", ["nvidia", "cpu"])
def test_a_module_that_its_package_does_without_is_a_remark(machine, accelerator, code, named):
    machine.module("radar", code)
    files = {"radar/_cpu.so": elf(module="_cpu"), "radar/_cuda.so": elf("libcudart.so.12", module="_cuda")}
    machine.wheel("radar", "3.2", files=files)

    assert ("radar 3.2 is built for CUDA 12" in machine.problems("cuda-builds", accelerator)) == named
    remarks = machine.remarks("cuda-builds", accelerator)
    assert named or "radar 3.2 has a part for CUDA 12 (radar/_cuda.so)" in remarks[0]
    assert len(remarks) == (not named)


def test_a_package_with_a_file_for_each_cuda_is_fine(machine):
    files = {f"bits/libbits_cuda{n}.so": elf(f"libcudart.so.{n}") for n in ("11.0", "12", "13")}
    machine.wheel("bits", "0.48", files=files)

    assert machine.problems("cuda-builds") == ""
    assert machine.remarks("cuda-builds") == []


def test_cuda_12_on_the_line_of_cuda_12_is_fine(machine):
    machine.facts["cuda"] = 12
    machine.dist("cupy-cuda12x", "14.2")
    machine.wheel("nvidia-curand-cu12", "10.3", files={"nvidia/curand/lib/libcurand.so.10": elf()})

    assert machine.problems("cuda-builds") == ""


@pytest.mark.parametrize("ours", ["nvidia-cusparse", "nvidia-cusparse-cu13"])
def test_one_library_for_two_cudas_is_named_with_what_asks_for_it(machine, ours):
    """cuSPARSE for CUDA 12 and for CUDA 13 have one name, so a process gets either."""
    machine.wheel(ours, "12.7", files={"nvidia/cu13/lib/libcusparse.so.12": elf()})
    machine.wheel(
        "nvidia-cusparse-cu12",
        "12.5",
        files={"nvidia/cusparse/lib/libcusparse.so.12": elf("libnvJitLink.so.12")},
    )
    machine.dist("tensorflow", "2.20", 'nvidia-cusparse-cu12<13; extra == "and-cuda"')

    problems = machine.problems("cuda-builds")

    assert "nvidia-cusparse-cu12 12.5 for another CUDA beside those of CUDA 13" in problems
    assert "install tensorflow without the extra" in problems
    assert "required by tensorflow |" in problems


@pytest.mark.parametrize("ours", ["nvidia-cublas", "nvidia-cublas-cu13"])
def test_libraries_whose_names_tell_two_cudas_apart_are_a_remark(machine, ours):
    """ctranslate2 needs cuBLAS of CUDA 12, and nvidia-cudnn-cu13 that of CUDA 13."""
    machine.wheel(ours, "13.1", files={"nvidia/cu13/lib/libcublas.so.13": elf(soname="libcublas.so.13")})
    machine.wheel(
        *("nvidia-cublas-cu12", "12.9"),
        files={"nvidia/cublas/lib/libcublas.so.12": elf(soname="libcublas.so.12")},
    )

    assert machine.problems("cuda-builds") == ""
    assert machine.remarks("cuda-builds") == [
        "nvidia-cublas-cu12 12.9: not for CUDA 13; required by pyproject.toml itself"
    ]


def test_one_soname_in_files_of_two_names_is_named(machine):
    machine.wheel(
        "nvidia-curand", "10.4", files={"nvidia/cu13/lib/libcurand.so.10.4": elf(soname="libcurand.so.10")}
    )
    machine.wheel("nvidia-curand-cu12", "10.3", files={"nvidia/curand/lib/libcurand.so.10": elf()})

    assert "nvidia-curand-cu12 10.3 for another CUDA beside" in machine.problems("cuda-builds")


def test_a_library_for_another_cuda_alone_is_a_remark(machine):
    """As XGBoost brings one, which works beside any CUDA."""
    machine.wheel("nvidia-nccl-cu12", "2.28", files={"nvidia/nccl/lib/libnccl.so.2": elf("libc.so.6")})
    machine.dist("trees", "3.1", "nvidia-nccl-cu12")

    assert machine.problems("cuda-builds") == ""
    assert machine.remarks("cuda-builds") == ["nvidia-nccl-cu12 2.28: not for CUDA 13; required by trees"]


def test_what_requires_a_library_on_another_system_does_not_ask_for_it(machine):
    machine.wheel("nvidia-nccl-cu12", "2.28", files={"nvidia/nccl/lib/libnccl.so.2": elf("libc.so.6")})
    machine.dist("trees", "3.1", "nvidia-nccl-cu12; sys_platform == 'win32'")

    assert machine.remarks("cuda-builds")[0].endswith("required by pyproject.toml itself")


def test_a_module_for_cuda_is_named_on_a_cpu(machine):
    machine.dist("pipeline", "1.0", "radar")
    machine.wheel("radar", "3.2", files={"radar/_radar.so": elf("libcudart.so.13", module="_radar")})

    problems = machine.problems("cuda-builds", "cpu")

    assert "radar 3.2 is built for CUDA 13: radar/_radar.so needs libcudart.so.13" in problems
    assert "radar is required by pipeline" in problems
    assert machine.problems("shared-objects", "cpu") == ""


@pytest.mark.parametrize("accelerator", ["nvidia", "cpu"])
def test_a_package_that_is_named_for_another_cuda_is_a_problem_though_it_can_be_imported(
    machine, accelerator
):
    """CuPy opens CUDA at the first computation."""
    machine.wheel(
        "cupy-cuda12x",
        "14.2",
        files={"cupy/__init__.py": b"", "cupy/cuda/fft.so": elf("libcufft.so.11", module="fft")},
    )

    assert "cupy-cuda12x 14.2 is built for CUDA 12" in machine.problems("cuda-builds", accelerator)


def test_cuda_that_works_on_a_cpu_is_a_remark_with_what_asks_for_it(machine):
    machine.wheel("radar", "3.2", "nvidia-cublas", files={"radar/_r.so": elf("libcublas.so.13", module="_r")})
    machine.wheel(
        "nvidia-cublas", "13.1", files={"nvidia/cu13/lib/libcublas.so.13": elf(soname="libcublas.so.13")}
    )

    assert machine.problems("cuda-builds", "cpu") == ""
    (remark,) = machine.remarks("cuda-builds", "cpu")
    assert (
        "nvidia-cublas 13.1: CUDA libraries, which ACCELERATOR=cpu does not use; required by radar:" in remark
    )


def test_a_pytorch_without_cuda_on_a_gpu_is_a_remark_where_the_environment_has_none(machine):
    machine.without("torch")
    machine.dist("torch", "2.14.1+cpu")

    assert machine.remarks("cuda-builds") == ["torch 2.14.1+cpu is a build without CUDA: it runs on the CPU"]


def test_two_packages_of_one_library_are_named_with_the_setting_that_drops_one(machine):
    machine.wheel("nvidia-nccl-cu12", "2.28", files={"nvidia/nccl/lib/libnccl.so.2": elf()})
    machine.dist("nvidia-nccl-cu13", "2.30", files=["nvidia/nccl/lib/libnccl.so.2"])
    machine.dist("trees", "3.1", "nvidia-nccl-cu12; sys_platform == 'linux'")

    problems = machine.problems("cuda-builds")

    assert "nvidia-nccl-cu12 2.28 for another CUDA beside those of CUDA 13" in problems
    assert 'add "nvidia-nccl-cu12" to exclude-dependencies of [tool.uv] in pyproject.toml' in problems
    assert machine.problems("shared-objects") == ""
