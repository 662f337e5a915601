"""Check for missing libraries, and for shared objects that another package has replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from .cuda_builds import CUDA_LIBRARY, TORCH_LIBRARY
from .distributions import Distribution
from .facts import REBUILD, Facts
from .findings import Finding, Findings, ok, problem, remark
from .installed import below_site, required_by, sites
from .packages import ONNXRUNTIMES, OPENCVS
from .processes import python
from .requirement import required_names
from .shared_objects import SharedObjects, scan
from .system_packages import OPENED_LATER, advice, apt_package


def check_shared_objects(facts: Facts) -> Findings:
    """Check that every library that an installed package needs is there, and is its own."""
    objects = scan(facts)
    yield from missing_libraries(objects)
    yield from opened_later(objects)
    yield from replaced(objects)
    packages = {owner for owner in map(objects.owner, objects.files) if owner}
    yield ok(f"{len(objects.files)} of {len(packages)} packages")


def missing_libraries(objects: SharedObjects) -> Iterator[Finding]:
    """Yield what modules need and nothing has: a problem if their package cannot be imported."""
    absent: dict[str, set[str]] = {}  # by the package that Python imports
    module_of: dict[str, str] = {}
    for path, names in objects.missing.items():
        # cuda-builds and torch-builds say more about theirs
        names = [n for n in names if not (CUDA_LIBRARY.match(n) or TORCH_LIBRARY.match(n))]
        for module in objects.extension_modules(path) if names else []:
            if package := outermost_package(Path(module)):
                absent.setdefault(package, set()).update(names)
                module_of.setdefault(package, module)
    for package, names in sorted(absent.items()):
        _, error = python(f"import {package}")
        stopping = sorted(name for name in names if name in error)
        module, libraries = module_of[package], stopping or sorted(filter(apt_package, names))
        who = f"{objects.owner(module) or package} ({below_site(Path(module))})"
        if stopping:
            yield problem(
                f"{' and '.join(stopping)} is missing: no package and no system folder has it; "
                f"{who} needs it",
                f"import {package} fails",
                advice(stopping),
            )
        elif libraries:  # what a module needs that is imported only when it is used
            yield remark(
                f"{who} needs {' and '.join(libraries)}, which is missing: if you use that part, "
                f"{advice(libraries)}"
            )


def outermost_package(module: Path) -> str:
    """Return what a script imports first to get a module; "" below a folder without __init__.py."""
    for site in sites():
        if module.is_relative_to(site):
            parts = module.relative_to(site).parts
            for count in range(1, len(parts)):
                if (site.joinpath(*parts[:count]) / "__init__.py").is_file():
                    return ".".join(parts[:count])
            return module.name.partition(".")[0] if len(parts) == 1 else ""
    return ""


def opened_later(objects: SharedObjects) -> Iterator[Finding]:
    """Yield the packages whose library is missing although no file of theirs needs it."""
    for name, libraries in OPENED_LATER.items():
        if not (distribution := objects.distributions.get(name)):
            continue
        stems = "|".join(re.escape(library.partition(".so")[0]) for library in libraries)
        own = [path.rpartition("/")[2] for path in distribution.shared_objects]
        if any(re.match(rf"({stems})[._]", file) for file in [*objects.system, *own]):
            continue
        asked = [d.name for d in objects.distributions.values() if name in required_names(d)]
        if asked:  # which may never import it, as mediapipe without a microphone
            yield remark(
                f"{distribution}, asked for by {', '.join(asked)}, opens {libraries[0]}, which is "
                f"missing: if you use that, {advice(libraries[:1])}"
            )
        else:
            yield problem(
                f"{distribution} opens {libraries[0]}, and no system folder has it",
                "it cannot do its work without that library",
                advice(libraries[:1]),
            )


def replaced(objects: SharedObjects) -> Iterator[Finding]:
    """Yield the packages that write the same shared object."""
    owners: dict[str, list[Distribution]] = {}
    for distribution in objects.distributions.values():
        for path in distribution.shared_objects:
            owners.setdefault(path, []).append(distribution)
    pairs = {pair: path for path, both in owners.items() for pair in combinations(both, 2)}
    for (one, other), path in pairs.items():
        names = {one.name, other.name}
        cudnn = all(name.startswith("nvidia-cudnn-cu") for name in names)
        if cudnn or names <= {*ONNXRUNTIMES} or names <= {*OPENCVS}:
            continue  # named by the checks cudnn and packages
        yield problem(
            f"{one} and {other} both have {below_site(Path(path))}",
            "the one installed last has replaced files of the other",
            f"keep one; {required_by(one.name)}, {required_by(other.name)}; without it: {REBUILD}",
        )
