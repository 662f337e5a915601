"""Read the metadata of installed distributions, faster than importlib.metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .installed import sites

FIELD = re.compile(r"^(Name|Version|Requires-Dist): *(.+?)\s*$", re.MULTILINE)
SHARED_OBJECT = re.compile(r'^"?([^\n,"]+\.so(?:\.[\w.]+)?)"?,', re.MULTILINE)


@dataclass(frozen=True)
class Distribution:
    """An installed distribution: fields of its METADATA, and the folder NAME.dist-info."""

    name: str  # normalized, as uv writes it
    version: str
    requires: tuple[str, ...]
    folder: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def local_version(self) -> str:
        """Return cu130 for 2.14.1+cu130, "" without a local part."""
        return self.version.partition("+")[2]

    @cached_property
    def shared_objects(self) -> list[str]:
        """Return the full paths of the shared objects in RECORD."""
        try:
            record = (self.folder / "RECORD").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        site = self.folder.parent
        return [str(site / name) for name in SHARED_OBJECT.findall(record) if ".." not in name]


def normalized(name: str) -> str:
    """Return a name in the form that package indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions() -> dict[str, Distribution]:
    """Return every distribution by name; of two with the same name, the one that Python imports."""
    found: dict[str, Distribution] = {}
    for distribution in read_distributions():
        found.setdefault(distribution.name, distribution)
    return found


def read_distributions() -> Iterator[Distribution]:
    """Yield the distributions of each site-packages folder, in the order of sys.path."""
    for site in dict.fromkeys(sites()):
        for folder in sorted(site.glob("*.dist-info")):
            try:
                text = (folder / "METADATA").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            fields: dict[str, list[str]] = {"Name": [], "Version": [], "Requires-Dist": []}
            for field, value in FIELD.findall(text.partition("\n\n")[0]):
                fields[field].append(value)
            if fields["Name"] and fields["Version"]:
                name, version = normalized(fields["Name"][0]), fields["Version"][0]
                yield Distribution(name, version, tuple(fields["Requires-Dist"]), folder)
