"""Find the project and the workspace that a command of uv changes."""

from __future__ import annotations

import os
import re
from pathlib import Path


def folder(options: list[str], *names: str) -> Path:
    """Return the folder that options of uv, or their environment variables, name."""
    found = Path()
    for name in names:
        variable = {"--directory": "UV_WORKING_DIR", "--project": "UV_PROJECT"}[name]
        named = options[options.index(name) + 1] if name in options else os.environ.get(variable)
        found /= named or ""
    return found.resolve()


def project(options: list[str]) -> Path:
    """Return the folder of the pyproject.toml that uv changes."""
    start = folder(options, "--directory", "--project")
    found = (path for path in (start, *start.parents) if (path / "pyproject.toml").is_file())
    return next(found, start)


def project_name(folder: Path) -> str:
    """Return the name in a pyproject.toml, "" if there is none."""
    table = (read(folder / "pyproject.toml") or b"").partition(b"[project]")[2]
    found = re.search(rb"""(?m)^name *= *["']([^"']+)""", table)
    return found[1].decode() if found else ""


def workspace(folder: Path) -> Path:
    """Return the folder of a project's uv.lock: that of the workspace if it is a part of one."""
    for parent in folder.parents:
        if b"[tool.uv.workspace]" in (read(parent / "pyproject.toml") or b""):
            return parent
    return folder


def whole(words: list[str], folder: Path) -> list[str]:
    """Return the arguments of `uv sync` for all of the workspace that a folder is a part of.

    The extra of ACCELERATOR is in its root alone.
    """
    root = workspace(folder)
    if root == folder:
        return words
    kept, rest = [], iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in ("--directory", "--project", "--all-packages"):
            kept.append(word)
        elif name != "--all-packages" and not equals:
            next(rest, "")
    return [*kept, "--all-packages", "--directory", str(root), "--project", str(root)]


def read(path: Path) -> bytes | None:
    """Return the content of a file, None if there is none."""
    return path.read_bytes() if path.is_file() else None
