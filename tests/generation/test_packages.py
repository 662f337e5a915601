"""What docs/packages.md says of a package, from resolutions and files that are made up here."""

from __future__ import annotations

import pytest

from capy_template.matrix import cuda_of, load
from compatibility import packages, system, verdicts
from compatibility.index import CannotCheck
from compatibility.uv_add import Distribution
from compatibility.verdicts import Place
from compatibility.wheels import Contents

MODULE = "new/core.cpython-312-x86_64-linux-gnu.so"


def place(accelerator: str = "nvidia", *, cuda: int = 13, image: bool = False) -> Place:
    """Return where packages are added: by default CUDA 13 from wheels."""
    return Place(accelerator, cuda, "2.14.1", "24.04", system.table(), image)


def wheel(name: str, version: str = "1.0", **contents) -> tuple[Distribution, Contents]:
    """Return a wheel of a resolution with its contents; what is needed is a library of it, too."""
    contents.setdefault("libraries", list(contents.get("needed", {})))
    return Distribution(name, version, f"https://index/{name}-{version}.whl"), Contents(**contents)


def look(*resolved, at: Place | None = None) -> verdicts.Inspection:
    """Return what is found in a resolution to which all but `old-` packages are new."""
    before = {item.name for item, _ in resolved if item.name.startswith("old-")}
    return verdicts.judge(list(resolved), before, at or place())


def test_a_library_of_the_same_wheel_of_another_one_or_of_the_image_is_there():
    own = {MODULE: ["libown-1a2b.so.3", "libc.so.6", "libcudart.so.13"], "new.libs/libown-1a2b.so.3": []}

    found = look(wheel("new", needed=own), wheel("old-cuda", libraries=["nvidia/cu13/lib/libcudart.so.13"]))

    assert (found.reasons, found.system) == ([], set())


def test_a_library_that_ubuntu_has_becomes_its_package_also_behind_another_library():
    needed = {MODULE: ["libown.so.3"], "new.libs/libown.so.3": ["libGL.so.1"]}

    found = look(wheel("new", needed=needed))

    assert (found.reasons, found.system) == ([], {"libgl1"})


def test_the_package_is_that_of_the_lines_own_ubuntu():
    at = Place("cpu", 12, None, "22.04", system.table(), False)

    found = look(wheel("new", needed={MODULE: ["libglib-2.0.so.0"]}), at=at)

    assert found.system == {"libglib2.0-0"}


def test_a_library_that_nothing_has_is_named_with_who_needs_it():
    found = look(wheel("new", needed={MODULE: ["libmade-up-in-this-test.so.7"]}))

    assert found.reasons == [f"new: `libmade-up-in-this-test.so.7`, which `{MODULE}` needs, is nowhere"]


def test_a_library_that_a_package_does_without_is_no_reason():
    needed = {"numba/np/ufunc/omppool.abi3.so": ["libmade-up-in-this-test.so.7"]}

    assert look(wheel("numba", needed=needed)).reasons == []
    assert look(wheel("new", needed=needed)).reasons != []


def test_of_several_builds_of_one_library_one_has_to_load():
    builds = {f"new/libnew_core{number}.so": [f"libavutil.so.{number + 52}"] for number in (4, 6, 8)}

    found = look(wheel("new", needed=builds))

    assert (found.reasons, found.system) == ([], {"libavutil58"})


def test_a_build_for_another_cuda_is_not_loaded():
    builds = {"new/libnew_cuda118.so": ["libcudart.so.11"], "new/libnew_cpu.so": []}
    builds["new/libnew_rocm64.so"] = ["libhipblas.so.2"]

    assert look(wheel("new", needed=builds)).reasons == []


@pytest.mark.parametrize(("accelerator", "refused"), [("nvidia", False), ("cpu", True)])
def test_the_drivers_library_is_there_with_a_gpu_alone(accelerator, refused):
    found = look(wheel("new", needed={MODULE: ["libcuda.so.1"]}), at=place(accelerator))

    assert bool(found.reasons) == refused


# Each library's version for CUDA 12 and 13, as in the packages nvidia-cusparse-cu12 and nvidia-cusparse
LIBRARIES = {
    **{"libcudart": (12, 13), "libcusparse": (12, 12), "libcusolver": (11, 12), "libcufft": (11, 12)},
    **{"libcurand": (10, 10), "libcudnn_adv": (9, 9), "libnccl": (2, 2)},
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("cuda", [12, 13])
def test_nvidias_image_has_the_libraries_of_its_own_cuda(cuda, library):
    at, own = place(cuda=cuda, image=True), LIBRARIES[library][cuda - 12]

    found = {
        version: look(wheel("new", needed={MODULE: [f"{library}.so.{version}"]}), at=at).reasons
        for version in (own - 1, own, own + 1)
    }

    assert [version for version, reasons in found.items() if not reasons] == [own]


def test_a_cuda_whose_library_versions_are_unknown_is_one_line():
    with pytest.raises(CannotCheck, match=r"^compatibility/verdicts\.py lacks LIBRARY_VERSIONS\[14\]$"):
        look(wheel("new", needed={MODULE: ["libcudart.so.14"]}), at=place(cuda=14, image=True))


@pytest.mark.parametrize("line", load()["lines"])
def test_the_library_versions_of_each_lines_cuda_are_known(line):
    cuda = cuda_of(load(), line)

    assert cuda in verdicts.LIBRARY_VERSIONS, (
        f"compatibility/verdicts.py: add CUDA {cuda} to LIBRARY_VERSIONS"
    )


@pytest.mark.parametrize(
    "name", ["nvidia-cufft-cu12", "cupy-cuda12x", "nobody-named-this-cu12", "new-cuda12-plugin"]
)
def test_a_package_for_another_cuda_is_refused_by_its_name(name):
    assert look(wheel("new"), wheel(name)).reasons == [f"brings packages for CUDA 12: {name}"]


def test_a_package_for_another_cuda_is_refused_by_the_folder_of_its_libraries():
    found = look(wheel("nobody-named-this", libraries=["nvidia/cu12/lib/libsomething.so"]))

    assert found.reasons == ["brings packages for CUDA 12: nobody-named-this"]


def test_two_packages_that_install_one_file_are_refused():
    one = wheel("nobody-named-this", shared={"cv2/__init__.py": 1})
    two = wheel("nor-this", shared={"cv2/__init__.py": 2})

    assert look(one, two).reasons == ["nobody-named-this and nor-this both install `cv2/__init__.py`"]


def test_the_same_file_in_two_packages_harms_nobody():
    assert (
        look(wheel("one", shared={"a/__init__.py": 1}), wheel("two", shared={"a/__init__.py": 1})).reasons
        == []
    )


@pytest.mark.parametrize("cuda", [12, 13])
@pytest.mark.parametrize("name", ["nvidia-nccl-cu13", "nvidia-cublas"])
def test_nvidias_libraries_are_no_reason_without_a_gpu(name, cuda):
    brings = wheel(name, libraries=["nvidia/cu13/lib/libnew.so.1"])

    assert look(brings, at=place("cpu", cuda=cuda)).reasons == []
    assert bool(look(brings, at=place(cuda=cuda)).reasons) == (cuda == 12)


@pytest.mark.parametrize("name", ["cupy-cuda13x", "jax-cuda13-plugin"])
def test_a_build_for_cuda_is_refused_without_a_gpu(name):
    assert look(wheel(name), at=place("cpu")).reasons == [f"brings builds for CUDA: {name}"]
    assert look(wheel(name)).reasons == []


def test_packages_that_the_project_has_anyway_are_no_reason():
    assert look(wheel("old-cuda", needed={MODULE: ["libmade-up-in-this-test.so.7"]})).reasons == []


@pytest.mark.parametrize(
    ("asks", "reason"),
    [
        ("==2.14.1", ""),
        ("==2.11.0", "new 1.0 was built for torch==2.11.0; the line has 2.14.1"),
        (">=2.0", "new 1.0 uses C++ functions of one PyTorch and requires torch>=2.0: "),
        (None, "new 1.0 uses C++ functions of one PyTorch and requires no PyTorch: "),
    ],
)
def test_compiled_code_has_to_be_for_the_lines_pytorch(asks, reason):
    reasons = look(wheel("new", needed={MODULE: []}, torch_names=[MODULE], torch=asks)).reasons

    assert [text[: len(reason)] for text in reasons] == ([reason] if reason else [])


def test_python_code_alone_may_ask_for_any_pytorch():
    assert look(wheel("new", torch=">=1.8")).reasons == []


@pytest.mark.parametrize(("source", "refused"), [("python", False), ("compiled", False), ("cuda", True)])
def test_a_package_without_a_wheel_is_refused_for_cuda_code_alone(source, refused):
    item = Distribution("new", "1.0", "https://index/new-1.0.tar.gz")

    found = look((item, Contents(source=source)))

    assert (found.system, bool(found.reasons)) == (set(), refused)


def test_a_package_without_a_file_for_the_lines_system_is_refused():
    found = look((Distribution("brought-along", "1.0", ""), Contents()))

    assert found.reasons == ["brought-along 1.0 has no wheel for Ubuntu 24.04, and no source"]


def test_what_python_code_opens_by_name_becomes_ubuntus_package():
    assert look(wheel("new", opened=["zbar", "c"])).system == {"libzbar0t64"}


def test_the_list_has_every_kind_of_package_and_none_twice():
    names = [package.name for package in packages.listed()]

    assert len(names) >= 36
    assert len(set(names)) == len(names)
