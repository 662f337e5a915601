"""Look up the shared libraries of Ubuntu's image, and the Ubuntu packages of others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).with_name("system-libraries.yaml")
RELEASES = ("22.04", "24.04")


@dataclass(frozen=True)
class System:
    """The table of system-libraries.yaml."""

    data: dict[str, Any]

    def has(self, library: str) -> bool:
        """Return whether the image has a library without added packages."""
        return library in self.data["base"]

    def is_driver(self, library: str) -> bool:
        """Return whether a library belongs to the host's NVIDIA driver."""
        return library in self.data["driver"]

    def package(self, library: str, ubuntu: str) -> str | None:
        """Return the package with a library in a release."""
        return of_release(self.data["libraries"].get(library), ubuntu)

    def optional(self, name: str, path: str) -> bool:
        """Return whether a package works without one of its compiled files."""
        return any(re.search(pattern, path) for pattern in self.data["optional"].get(name, ()))

    def opened(self, name: str, ubuntu: str) -> str | None:
        """Return the package for a library that Python code opens by `find_library(name)`."""
        library = self.data["opened"].get(name)
        return self.package(library, ubuntu) if library else None


def of_release(names: str | list[str | None] | None, ubuntu: str) -> str | None:
    """Return the name in a release: one for all, or one for each of RELEASES."""
    return names[RELEASES.index(ubuntu)] if isinstance(names, list) else names


@cache
def table() -> System:
    """Return the table."""
    return System(yaml.safe_load(DATA.read_text(encoding="utf-8")))
