"""Read an ELF file: the libraries that it needs, and whether it calls PyTorch's C++ functions."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NEEDED, STRTAB, END = 1, 5, 0  # tags of the dynamic section
LOAD, DYNAMIC = 1, 2  # types of program headers
X86_64 = 62
DYNSYM = 11  # type of a section
UNDEFINED = 0
# C++ functions change between versions of PyTorch; its stable ABI has C functions only (aoti_torch_…).
TORCH_SYMBOL = re.compile(rb"_ZNK?(?:3c10|2at|5torch)")


@dataclass(frozen=True)
class Elf:
    """The libraries that the loader would load, and the use of PyTorch's C++ functions."""

    needed: tuple[str, ...]
    torch_names: bool


class NotElf(ValueError):
    """The bytes are no 64-bit ELF file for x86-64."""


def read(data: bytes) -> Elf:
    """Return what an ELF file needs. Raises NotElf, also for a truncated file."""
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise NotElf(f"cut off: {error}") from None


def _read(data: bytes) -> Elf:
    if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", data, 18)[0] != X86_64:
        raise NotElf("no 64-bit ELF file for x86-64")
    segments = list(_segments(data))
    entries = []
    for kind, offset, _, size in segments:
        if kind == DYNAMIC:
            entries += _dynamic(data, offset, size)
    table = next((value for tag, value in entries if tag == STRTAB), None)
    if table is None:
        return Elf((), False)
    strings = _file_offset(segments, table)
    needed = tuple(_string(data, strings + value) for tag, value in entries if tag == NEEDED)
    return Elf(needed, any(TORCH_SYMBOL.match(data, name) for name in _undefined(data)))


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, offset in the file, address and size of each program header."""
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, start + number * size)
        yield kind, offset, address, length


def _dynamic(data: bytes, offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the entries of the dynamic section."""
    for place in range(offset, offset + size, 16):
        tag, value = struct.unpack_from("<qQ", data, place)
        if tag == END:
            return
        yield tag, value


def _undefined(data: bytes) -> Iterator[int]:
    """Yield the offset of the name of each undefined symbol."""
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQI", data, start + number * size) for number in range(count)]
    for _, kind, _, _, offset, length, names in sections:
        if kind == DYNSYM:
            strings = sections[names][4]
            for name, _, _, section, _, _ in struct.iter_unpack("<IBBHQQ", data[offset : offset + length]):
                if section == UNDEFINED and name:
                    yield strings + name


def _file_offset(segments: list[tuple[int, int, int, int]], address: int) -> int:
    """Return the file offset of a virtual address."""
    for kind, offset, begin, length in segments:
        if kind == LOAD and begin <= address < begin + length:
            return offset + address - begin
    raise NotElf(f"address {address:#x} is in no segment")


def _string(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
