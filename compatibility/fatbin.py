"""Read a library's GPU architectures from the headers of NVIDIA's fat binaries.

The first one has all architectures of ONNX Runtime and PyTorch; later ones may add some for
single kernels (all versions in the matrix, 2026-11-27). So only the first one is downloaded.
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
LARGEST = 1 << 28  # bytes of a fat binary: more means that the header is not one


class NoCode(ValueError):
    """The library has no code for a GPU."""


def architectures(library: BinaryIO) -> list[str]:
    """Return the architectures of the first fat binary, as the matrix writes them: 9.0a, 12.0+PTX.

    Raises NoCode, also for a truncated file.
    """
    data = b""
    while chunk := library.read(CHUNK):
        data = data[1 - HEADER.size :] + chunk
        for match in re.finditer(re.escape(MAGIC), data[: len(MAGIC) - HEADER.size]):
            size = HEADER.unpack_from(data, match.start())[3]
            if size <= LARGEST:
                body = data[match.start() + HEADER.size :][:size]
                return architecture_names(body + library.read(size - len(body)))
    raise NoCode("no fat binary in it")


def architecture_names(body: bytes) -> list[str]:
    """Return the architectures in a fat binary, without duplicates, in order."""
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
