"""What docs/packages.md says of a package, from resolutions and files that are made up here."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
import requests

from compatibility import packages, system, verdicts
from compatibility.adding import Distribution
from compatibility.elf import NotElf, read
from compatibility.index import Index
from compatibility.kept import Kept
from compatibility.verdicts import Place
from compatibility.wheels import Contents, Reader, torch_requirement
from tests.support.fake_index import PADDING, FakeIndex, served
from tests.support.tiny_elf import tiny_elf

MODULE = "new/core.cpython-312-x86_64-linux-gnu.so"


def place(accelerator: str = "nvidia", *, cuda: int = 13, image: bool = False) -> Place:
    """Return where packages are added: by default CUDA 13 from wheels."""
    return Place(accelerator, cuda, "2.14.1", "24.04", system.table(), image)


def wheel(name: str, version: str = "1.0", **contents) -> tuple[Distribution, Contents]:
    """Return a wheel of a resolution with its contents; what is needed is a library of it, too."""
    contents.setdefault("libraries", list(contents.get("needed", {})))
    return Distribution(name, version, f"https://index/{name}-{version}.whl"), Contents(**contents)


def look(*resolved, at: Place | None = None) -> verdicts.Looked:
    """Return what is found in a resolution to which all but `old-` packages are new."""
    before = {item.name for item, _ in resolved if item.name.startswith("old-")}
    return verdicts.judge(list(resolved), before, at or place())


def test_an_elf_file_says_what_it_needs():
    about = read(tiny_elf(["libGL.so.1", "libc.so.6"], undefined=["malloc"]))

    assert about.needed == ("libGL.so.1", "libc.so.6")
    assert not about.torch_names


@pytest.mark.parametrize(
    ("symbols", "found"),
    [
        ({"undefined": ["_ZN3c105ErrorC1Ev"]}, True),
        ({"undefined": ["_ZNK2at10TensorBase4sizeEv"]}, True),
        ({"undefined": ["aoti_torch_empty_strided"]}, False),  # the stable ABI
        ({"defined": ["_ZN5torch6stable6TensorC1Ev"]}, False),  # compiled in
    ],
)
def test_cpp_functions_of_pytorch_are_found_where_another_library_has_to_define_them(symbols, found):
    assert read(tiny_elf(["libtorch.so"], **symbols)).torch_names == found


@pytest.mark.parametrize(
    "data", [b"", b"#!/bin/sh\n", tiny_elf(["libc.so.6"])[:100], b"\x7fELF\x01\x01" + bytes(60)]
)
def test_what_is_no_elf_file_for_x86_64_is_told_apart(data):
    with pytest.raises(NotElf):
        read(data)


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


@pytest.mark.parametrize(("library", "refused"), [("libcudart.so.13", False), ("libcudart.so.12", True)])
def test_nvidias_image_has_the_libraries_of_its_own_cuda(library, refused):
    found = look(wheel("new", needed={MODULE: [library]}), at=place(image=True))

    assert bool(found.reasons) == refused


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


def test_packages_of_cuda_are_refused_without_a_gpu():
    brings = wheel("nvidia-new", libraries=["nvidia/new/lib/libnew.so.1"])

    assert look(brings, at=place("cpu")).reasons == ["brings packages of CUDA: nvidia-new"]
    assert look(brings).reasons == []


def test_packages_that_the_project_has_anyway_are_no_reason():
    assert look(wheel("old-cuda", needed={MODULE: ["libmade-up-in-this-test.so.7"]})).reasons == []


@pytest.mark.parametrize(
    ("asks", "reason"),
    [
        ("==2.14.1", ""),
        ("==2.11.0", "new 1.0 was built for torch==2.11.0; the line has 2.14.1"),
        (">=2.0", "new 1.0 uses C++ functions of one PyTorch and asks for torch>=2.0: "),
        (None, "new 1.0 uses C++ functions of one PyTorch and asks for no PyTorch: "),
    ],
)
def test_compiled_code_has_to_be_for_the_lines_pytorch(asks, reason):
    reasons = look(wheel("new", needed={MODULE: []}, torch_names=[MODULE], torch=asks)).reasons

    assert [text[: len(reason)] for text in reasons] == ([reason] if reason else [])


def test_python_code_alone_may_ask_for_any_pytorch():
    assert look(wheel("new", torch=">=1.8")).reasons == []


@pytest.mark.parametrize(
    ("source", "needs", "refused"),
    [
        ("python", set(), False),
        ("compiled", {"build-essential", "python3-dev"}, False),
        ("cuda", set(), True),
    ],
)
def test_a_package_without_a_wheel_needs_a_compiler_for_c_and_is_refused_for_cuda(source, needs, refused):
    item = Distribution("new", "1.0", "https://index/new-1.0.tar.gz")

    found = look((item, Contents(source=source)))

    assert (found.system, bool(found.reasons)) == (needs, refused)


def test_a_package_without_a_file_for_the_lines_system_is_refused():
    found = look((Distribution("brought-along", "1.0", ""), Contents()))

    assert found.reasons == ["brought-along 1.0 has no wheel for Ubuntu 24.04, and no source"]


def test_what_python_code_opens_by_name_becomes_ubuntus_package():
    assert look(wheel("new", opened=["zbar", "c"])).system == {"libzbar0t64"}


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("torch==2.11.0", "==2.11.0"),
        ("torch (>=2.14.0)", ">=2.14.0"),
        ("torch", ""),
        ("torch>=2; platform_machine == 'x86_64'", ">=2"),
        ("torch>=2; extra == 'all'", None),
        ("torchvision==0.1", None),
        ("torch-fidelity", None),
    ],
)
def test_what_a_package_asks_of_pytorch_is_read_from_its_metadata(text, asks):
    assert torch_requirement(f"Metadata-Version: 2.1\nName: new\nRequires-Dist: {text}\n") == asks


def test_a_wheel_is_read_on_the_index_but_for_what_is_too_large(tmp_path, monkeypatch):
    packed, module = io.BytesIO(), tiny_elf(["libGL.so.1"], undefined=["_ZN3c105ErrorC1Ev"])
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("new/core.abi3.so", module)
        archive.writestr("new/large.abi3.so", module + bytes(2000))
        archive.writestr("new-1.0.data/platlib/moved/__init__.py", "x = 1")
        archive.writestr("new-1.0.dist-info/METADATA", "Name: new\nRequires-Dist: torch>=2\n")
        archive.writestr("padding.bin", bytes(PADDING))
    fake = FakeIndex(wheels={"new": {"new-1.0-py3-none-any.whl": packed.getvalue()}})
    monkeypatch.setattr("compatibility.wheels.BIGGEST", len(module))

    with served(fake):
        index = Index(fake.url, requests.Session())
        reader = Reader(index, Kept(tmp_path))
        found = reader.contents(index.files("new")[0].url)
        sent = fake.sent
        again = reader.contents(index.files("new")[0].url)

    assert found.needed == {"new/core.abi3.so": ["libGL.so.1"]}
    assert (found.torch_names, found.torch) == (["new/core.abi3.so"], ">=2")
    assert found.unread == ["new/large.abi3.so"]
    assert set(found.shared) == {"new/core.abi3.so", "new/large.abi3.so", "moved/__init__.py"}
    assert 0 < sent < PADDING
    assert (again, fake.sent) == (found, sent)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"new/a.py": ""}, "python"),
        ({"new/a.pyx": "", "setup.py": "setup()"}, "compiled"),
        ({"vendor/a.cu": "", "pyproject.toml": ""}, "compiled"),  # built for a CPU where nobody asks for more
        ({"csrc/a.cu": "", "setup.py": "from torch.utils.cpp_extension import CUDAExtension"}, "cuda"),
    ],
)
def test_a_source_distribution_is_python_c_or_cuda(files, kind, tmp_path, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            about = tarfile.TarInfo(f"new-1.0/{name}")
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    reader = Reader(Index("https://index", requests.Session()), Kept(tmp_path))
    monkeypatch.setattr(Reader, "_download", lambda *_: packed.getvalue())

    assert reader.contents("https://index/new-1.0.tar.gz").source == kind


def test_the_list_has_every_kind_of_package_and_none_twice():
    names = [package.name for package in packages.listed()]

    assert len(names) >= 36
    assert len(set(names)) == len(names)
