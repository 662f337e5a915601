"""What is installed, and what pyproject.toml should ask for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

from .facts import Facts


def version_tuple(version: str) -> tuple[int, ...]:
    """Return what can be compared: (580, 65, 6) for "580.65.06"."""
    return tuple(map(int, re.findall(r"\d+", version)))


def version_of(name: str) -> str:
    """Return the version of an installed package, "" if it is not."""
    distribution = next(iter(importlib.metadata.distributions(name=name)), None)
    return distribution.version if distribution else ""


def distribution_of(framework: str, facts: Facts) -> str:
    """Return the name under which a framework is installed."""
    return "onnxruntime-gpu" if framework == "onnxruntime" and facts.on_gpu else framework


def verified(name: str, facts: Facts) -> str:
    """Say which version was verified if another one is installed; that alone is no problem."""
    version = facts.frameworks.get(name.removesuffix("-gpu"), {}).get("version")
    same = not version or version_of(name).split("+")[0] == version
    return "" if same else f" ({version} was verified)"


def required_by(name: str) -> str:
    """Say which installed packages require `name`; a failed build leaves no image to look into."""
    requirement = re.compile(rf"{re.escape(name)}(?![\w.-])", re.IGNORECASE)
    packages = {
        distribution.metadata["Name"]
        for distribution in importlib.metadata.distributions()
        if any(map(requirement.match, distribution.requires or []))
    }
    return f"{name} is asked for by {', '.join(sorted(packages)) or 'pyproject.toml itself'}"


def wanted(framework: str, facts: Facts) -> str:
    """Return what pyproject.toml should ask for."""
    version, name = facts.frameworks[framework]["version"], distribution_of(framework, facts)
    extras = "[cuda,cudnn]" if name == "onnxruntime-gpu" and facts.cuda_from == "wheels" else ""
    if version:
        return f"{name}{extras}=={version}"
    return f"no {name} (NVIDIA's image brings it)" if facts.on_gpu else name


def all_wanted(facts: Facts) -> str:
    """Return what pyproject.toml should ask for, all of it."""
    return ", ".join(wanted(framework, facts) for framework in facts.frameworks)


def package(name: str) -> Path | None:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def inside(path: object, folder: object) -> bool:
    """Return whether a path lies in a folder, links followed."""
    return Path(str(path)).resolve().is_relative_to(Path(str(folder)).resolve())


def sites() -> list[Path]:
    """Return every site-packages folder: the environment's and the image's."""
    return [Path(entry) for entry in sys.path if entry.endswith("-packages")]


def below_site(path: Path) -> str:
    """Return `path` as seen from the site-packages folder that it is in."""
    return next((str(path.relative_to(s)) for s in sites() if path.is_relative_to(s)), str(path))
