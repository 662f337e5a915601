"""Look up installed packages, and what pyproject.toml should require."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

from .facts import Facts


def version_tuple(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (580, 65, 6) for "580.65.06"."""
    return tuple(map(int, re.findall(r"\d+", version)))


def version_of(name: str) -> str:
    """Return the version of an installed package, "" if it is not."""
    distribution = next(iter(importlib.metadata.distributions(name=name)), None)
    try:
        return distribution.version if distribution else ""
    except UnicodeDecodeError:  # METADATA in another encoding; the folder is NAME-VERSION.dist-info
        pattern = re.sub(r"[-_.]+", "[-_.]+", name) + r"-(.+)\.dist-info"
        folders = (path.name for site in sites() for path in site.glob("*.dist-info"))
        found = (re.fullmatch(pattern, folder, re.IGNORECASE) for folder in folders)
        return next((match[1] for match in found if match), "")


def distribution_of(framework: str, facts: Facts) -> str:
    """Return the name under which a framework is installed."""
    return "onnxruntime-gpu" if framework == "onnxruntime" and facts.on_gpu else framework


def verified(name: str, facts: Facts) -> str:
    """Return a note with the tested version if another one is installed."""
    version = facts.frameworks.get(name.removesuffix("-gpu"), {}).get("version")
    same = not version or version_of(name).split("+")[0] == version
    return "" if same else f" ({version} was verified)"


def wanted(framework: str, facts: Facts) -> str:
    """Return the requirement for a framework that pyproject.toml should have."""
    version, name = facts.frameworks[framework]["version"], distribution_of(framework, facts)
    from_wheels = facts.cuda_from == "wheels" and not facts.cuda_packages
    extras = "[cuda,cudnn]" if name == "onnxruntime-gpu" and from_wheels else ""
    if version:
        return f"{name}{extras}=={version}"
    return f"no {name} (NVIDIA's image brings it)" if facts.on_gpu else name


def all_wanted(facts: Facts) -> str:
    """Return the requirements for all frameworks and their CUDA that pyproject.toml should have."""
    libraries = facts.cuda_packages if facts.on_gpu else []
    return ", ".join([*(wanted(framework, facts) for framework in facts.frameworks), *libraries])


def package(name: str) -> Path | None:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def inside(path: object, folder: object) -> bool:
    """Return whether a path is inside a folder, with symlinks resolved."""
    return Path(str(path)).resolve().is_relative_to(Path(str(folder)).resolve())


def sites() -> list[Path]:
    """Return every site-packages folder, of the environment and the image."""
    return [Path(entry) for entry in sys.path if entry.endswith("-packages")]


def outermost_package(module: Path) -> str:
    """Return the outermost package of a module, "" if its folder has no __init__.py."""
    for site in sites():
        if module.is_relative_to(site):
            parts = module.relative_to(site).parts
            for count in range(1, len(parts)):
                if (site.joinpath(*parts[:count]) / "__init__.py").is_file():
                    return ".".join(parts[:count])
            return module.name.partition(".")[0] if len(parts) == 1 else ""
    return ""


def below_site(path: Path) -> str:
    """Return `path` relative to its site-packages folder."""
    return next((str(path.relative_to(s)) for s in sites() if path.is_relative_to(s)), str(path))
