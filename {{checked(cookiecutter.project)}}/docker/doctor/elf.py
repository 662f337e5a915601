"""Read the dynamic section of an ELF file: what it tells the dynamic loader."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

HEADER = struct.Struct("<4sBB10x16xQ14xHH")  # of 64-bit little-endian ELF: x86-64 and AArch64
SEGMENT = struct.Struct("<I4xQQ8xQ16x")
ENTRY = struct.Struct("<QQ")
LOAD, DYNAMIC = 1, 2
NEEDED, STRTAB, STRSZ, SONAME, RPATH, RUNPATH = 1, 5, 10, 14, 15, 29


@dataclass(frozen=True)
class Elf:
    """The dynamic section of a shared object."""

    soname: str
    needed: tuple[str, ...]
    search: tuple[str, ...]  # folders of DT_RUNPATH or DT_RPATH, with $ORIGIN


def read_elf(path: str | Path) -> Elf | None:
    """Return the dynamic section of a file, None if it is no 64-bit shared object."""
    try:
        with (
            Path(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data,
        ):
            return parse(data)
    except (OSError, ValueError, struct.error):  # unreadable, empty, or cut off
        return None


def defines(path: str | Path, symbol: str) -> bool:
    """Return whether a file has a dynamic symbol of this name."""
    try:
        with (
            Path(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data,
        ):
            entries, strings = dynamic(data)
            end = strings + next((value for tag, value in entries if tag == STRSZ), 0)
            return data.find(b"\0" + symbol.encode() + b"\0", strings, end) >= 0
    except (OSError, ValueError, struct.error):
        return False


def parse(data: mmap.mmap) -> Elf:
    """Return the dynamic section of mapped bytes. Raises ValueError if they are no ELF file."""
    entries, strings = dynamic(data)

    def text(tag: int) -> list[str]:
        starts = [strings + value for kind, value in entries if kind == tag]
        return [data[start : data.find(b"\0", start)].decode(errors="replace") for start in starts]

    search = text(RUNPATH) or text(RPATH)
    folders = [folder for folder in ":".join(search).split(":") if folder]
    return Elf(next(iter(text(SONAME)), ""), tuple(text(NEEDED)), tuple(folders))


def dynamic(data: mmap.mmap) -> tuple[list[tuple[int, int]], int]:
    """Return the entries of the dynamic section, and the offset of its strings in the file."""
    magic, bits, order, table, size, count = HEADER.unpack_from(data)
    if (magic, bits, order, size) != (b"\x7fELF", 2, 1, 56):
        raise ValueError("not a 64-bit little-endian ELF file")
    segments = [SEGMENT.unpack_from(data, table + size * number) for number in range(count)]
    entries = []
    for kind, offset, _, length in segments:
        if kind == DYNAMIC:
            end = min(offset + length, len(data))
            entries = list(ENTRY.iter_unpack(data[offset : end - (end - offset) % ENTRY.size]))
    address = next((value for tag, value in entries if tag == STRTAB), None)
    for kind, offset, start, length in segments:
        if kind == LOAD and address is not None and start <= address < start + length:
            return entries, address - start + offset
    raise ValueError("nothing in it is for the dynamic loader")
