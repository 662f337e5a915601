"""Make a fat binary of a few hundred bytes: headers with GPU architectures, and no code."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable


def tiny_fatbin(architectures: Iterable[str], code: bytes = b"code") -> bytes:
    """Return a fat binary with code for 9.0a, 12.0+PTX and so on."""
    entries = b""
    for name in architectures:
        major, minor, suffix = re.fullmatch(r"(\d+)\.(\d)(a|\+PTX)?", name).groups()
        kind, flags = (1 if suffix == "+PTX" else 2), (0x100011 if suffix == "a" else 0x11)
        entries += (
            struct.pack("<HHIQ12xI8xQ16x", kind, 0x101, 64, len(code), int(major + minor), flags) + code
        )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
