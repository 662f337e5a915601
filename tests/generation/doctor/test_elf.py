"""What is read of a shared object, and that anything else is none."""

import pytest
from doctor.elf import defines, read_elf
from doctor.libraries import opened

from tests.generation.doctor.elf_file import elf


def test_the_dynamic_section_is_read(tmp_path):
    file = tmp_path / "libone.so"
    file.write_bytes(elf("libtwo.so.2", "libc.so.6", soname="libone.so.1", runpath="$ORIGIN/a:/b"))

    read = read_elf(file)

    assert (read.soname, read.needed) == ("libone.so.1", ("libtwo.so.2", "libc.so.6"))
    assert read.search == ("$ORIGIN/a", "/b")


def test_an_rpath_counts_where_there_is_no_runpath(tmp_path):
    (tmp_path / "old.so").write_bytes(elf(rpath="/old"))
    (tmp_path / "both.so").write_bytes(elf(rpath="/old", runpath="/new"))

    assert read_elf(tmp_path / "old.so").search == ("/old",)
    assert read_elf(tmp_path / "both.so").search == ("/new",)


def test_the_c_library_of_this_machine_is_read():
    path = opened(["libc.so.6"])[0]["libc.so.6"]

    assert read_elf(path).soname == "libc.so.6"
    assert not defines(path, "PyInit_libc")


WHOLE = elf("libtwo.so.2", soname="libone.so.1")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fELF", b"INPUT(libc.so.6)\n" * 9, WHOLE[:100], WHOLE[:4] + b"\x01" + WHOLE[5:], bytes(400)],
    ids=["empty", "four bytes", "a linker script", "cut off", "32 bits", "zeros"],
)
def test_what_is_no_shared_object_is_none(tmp_path, content):
    (tmp_path / "x.so").write_bytes(content)

    assert read_elf(tmp_path / "x.so") is None
    assert not defines(tmp_path / "x.so", "PyInit_x")


def test_a_file_that_is_gone_is_none(tmp_path):
    assert read_elf(tmp_path / "x.so") is None


def test_a_module_of_python_is_known_by_its_function(tmp_path):
    (tmp_path / "fast.so").write_bytes(elf(module="fast"))

    assert defines(tmp_path / "fast.so", "PyInit_fast")
    assert not defines(tmp_path / "fast.so", "PyInit_fas")
