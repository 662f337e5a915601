"""Reads from a library which GPU architectures it has code for: from the headers of NVIDIA's fat binaries.

In ONNX Runtime's and PyTorch's libraries the first one has every architecture that they were built for; later
ones may add some for single kernels (seen in all that the matrix names, 2026-11-27). So what follows the
first one is not downloaded.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)  # of a fat binary: its version and the size of its header
HEADER = struct.Struct("<IHHQ")
ENTRY = struct.Struct("<HHIQ12xI8xQ")  # kind, version, size of this header, of the code; architecture; flags
PTX, CUBIN = 1, 2
ARCHITECTURE_ALONE = 1 << 20  # sm_90a: for 9.0 and no other
CHUNK = 1 << 20
LARGEST = 1 << 28  # of one fat binary: a longer one is a number that only looks like a header


class NoCode(ValueError):
    """The library has no code for a GPU."""


def architectures(library: BinaryIO) -> list[str]:
    """Return the architectures of the first fat binary, as the matrix writes them: 9.0a, 12.0+PTX.

    Raises NoCode, also where the file is cut off.
    """
    data = b""
    while chunk := library.read(CHUNK):
        data = data[1 - HEADER.size :] + chunk
        for match in re.finditer(re.escape(MAGIC), data[: len(MAGIC) - HEADER.size]):
            size = HEADER.unpack_from(data, match.start())[3]
            if size <= LARGEST:
                body = data[match.start() + HEADER.size :][:size]
                return named(body + library.read(size - len(body)))
    raise NoCode("no fat binary in it")


def named(body: bytes) -> list[str]:
    """Return the architectures of the pieces in a fat binary, each once, in order."""
    found, place = set(), 0
    while place + ENTRY.size <= len(body):
        kind, _, header, size, number, flags = ENTRY.unpack_from(body, place)
        if kind not in (PTX, CUBIN) or header < ENTRY.size:
            raise NoCode(f"a fat binary with something unknown in it: kind {kind}")
        suffix = "+PTX" if kind == PTX else "a" if flags & ARCHITECTURE_ALONE else ""
        found.add((number, suffix))
        place += header + size
    if not found:
        raise NoCode("an empty fat binary")
    return [f"{number // 10}.{number % 10}{suffix}" for number, suffix in sorted(found)]
