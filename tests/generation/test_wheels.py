"""What is read of wheels, source distributions and ELF files on an index."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
import requests

from compatibility.cache import JsonCache
from compatibility.elf import NotElf, read
from compatibility.index import Index
from compatibility.wheels import Reader, torch_requirement
from tests.support.fake_index import PADDING, FakeIndex, served
from tests.support.tiny_elf import tiny_elf


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
        reader = Reader(index, JsonCache(tmp_path))
        found = reader.contents(index.files("new")[0].url)
        sent = fake.sent.total()
        again = reader.contents(index.files("new")[0].url)

    assert found.needed == {"new/core.abi3.so": ["libGL.so.1"]}
    assert (found.torch_names, found.torch) == (["new/core.abi3.so"], ">=2")
    assert found.unread == ["new/large.abi3.so"]
    assert set(found.shared) == {"new/core.abi3.so", "new/large.abi3.so", "moved/__init__.py"}
    assert 0 < sent < PADDING
    assert (again, fake.sent.total()) == (found, sent)


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
    reader = Reader(Index("https://index", requests.Session()), JsonCache(tmp_path))
    monkeypatch.setattr(Reader, "_download", lambda *_: packed.getvalue())

    assert reader.contents("https://index/new-1.0.tar.gz").source == kind
