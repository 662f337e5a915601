"""Make ELF files of a few hundred bytes, with what a loader reads of an extension module."""

from __future__ import annotations

import struct
from collections.abc import Iterable

HEADER, SEGMENT, SECTION, SYMBOL = 64, 56, 64, 24


def tiny_elf(needed: Iterable[str] = (), undefined: Iterable[str] = (), defined: Iterable[str] = ()) -> bytes:
    """Return a 64-bit ELF file for x86-64 with these libraries and symbols."""
    strings = b"\0"

    def place(text: str) -> int:
        nonlocal strings
        strings += text.encode() + b"\0"
        return len(strings) - len(text) - 1

    dynamic = [(1, place(name)) for name in needed]
    symbols = [struct.pack("<IBBHQQ", place(name), 0x12, 0, 0, 0, 0) for name in undefined]
    symbols += [struct.pack("<IBBHQQ", place(name), 0x12, 0, 1, 0, 0) for name in defined]
    symbols.insert(0, bytes(SYMBOL))
    names = HEADER + 2 * SEGMENT
    table = names + len(strings)
    entries = table + SYMBOL * len(symbols)
    size = 16 * (len(dynamic) + 2)
    sections = entries + size
    base = 0x1000  # addresses differ from offsets, as in a real file
    dynamic += [(5, base + names), (0, 0)]
    segments = struct.pack("<IIQQQQQQ", 1, 4, 0, base, base, sections, sections, 1)
    segments += struct.pack("<IIQQQQQQ", 2, 4, entries, base + entries, base + entries, size, size, 1)
    heads = bytes(SECTION)
    heads += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, names, len(strings), 0, 0, 1, 0)
    heads += struct.pack("<IIQQQQIIQQ", 0, 11, 0, 0, table, SYMBOL * len(symbols), 1, 0, 1, SYMBOL)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, HEADER, sections, 0, HEADER, SEGMENT, 2, SECTION, 3, 0)
    body = b"".join(symbols) + b"".join(struct.pack("<qQ", *entry) for entry in dynamic)
    return head + segments + strings + body + heads
