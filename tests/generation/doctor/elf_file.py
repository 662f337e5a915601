"""ELF files of a few hundred bytes: a header, two segments, a dynamic section and its strings."""

from __future__ import annotations

import struct

NEEDED, STRTAB, STRSZ, SONAME, RPATH, RUNPATH = 1, 5, 10, 14, 15, 29


def elf(*needed: str, soname: str = "", runpath: str = "", rpath: str = "", module: str = "") -> bytes:
    """Return a shared object with these DT_NEEDED; with `module`, one that Python can import by that name."""
    strings, entries = bytearray(b"\0"), []

    def add(tag: int, text: str) -> None:
        entries.append((tag, len(strings)))
        strings.extend(text.encode() + b"\0")

    for name in needed:
        add(NEEDED, name)
    for tag, text in ((SONAME, soname), (RUNPATH, runpath), (RPATH, rpath)):
        if text:
            add(tag, text)
    if module:
        strings.extend(f"PyInit_{module}\0".encode())
    start = 64 + 2 * 56
    size = 16 * (len(entries) + 3)
    entries += [(STRTAB, 0x1000 + start + size), (STRSZ, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    total = start + size + len(strings)
    header = struct.pack(
        *("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    # loaded at another address than the offset in the file, as a linker does
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0x1000, total, total, 0x1000)
    segment = struct.pack("<IIQQQQQQ", 2, 6, start, 0x1000 + start, 0, size, size, 8)
    return header + load + segment + dynamic + bytes(strings)
