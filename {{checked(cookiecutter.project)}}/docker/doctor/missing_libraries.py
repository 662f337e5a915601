"""Check for missing libraries, and for shared objects that another package overwrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from .cuda_builds import CUDA_LIBRARY, TORCH_LIBRARY, base, cuda_majors
from .distributions import Distribution
from .facts import REBUILD, Facts
from .findings import Finding, Findings, ok, problem, remark
from .installed import below_site, distribution_of, outermost_package
from .packages import ONNXRUNTIMES, OPENCVS
from .requirement import required_by, required_names
from .shared_objects import SharedObjects, is_extension_module, scan
from .system_packages import CUDA_OPENED_LATER, OPENED_LATER, advice, apt_package

# Optional modules, skipped here since importing their package takes a second.
TRIED = re.compile(r"/numba/np/ufunc/(tbb|omp)pool\.")


def check_shared_objects(facts: Facts) -> Findings:
    """Check that every library that a package needs exists, and was not overwritten."""
    objects = scan(facts)
    yield from missing_libraries(facts, objects)
    yield from opened_later(objects)
    yield from cuda_opened_later(facts, objects)
    yield from replaced(objects)
    packages = {owner for owner in map(objects.owner, objects.files) if owner}
    yield ok(f"{len(objects.files)} files, {len(packages)} packages")


def missing_libraries(facts: Facts, objects: SharedObjects) -> Iterator[Finding]:
    """Yield missing libraries of modules: a problem if their package cannot be imported."""
    absent: dict[str, dict[str, str]] = {}  # package: missing library: a module that needs it
    for path, names in sorted(objects.missing.items()):
        names = [
            name for name in names if not named_elsewhere(name, objects.owner(path), facts, objects)
        ]
        modules = objects.extension_modules(path) if names and not TRIED.search(path) else []
        for module in modules or opened_by_ctypes(path, names, objects):
            if package := outermost_package(Path(module)):
                for name in names:
                    absent.setdefault(package, {}).setdefault(name, module)
    for package, names in absent.items():
        error = objects.import_error(package)
        stopping = [name for name in names if name in error]
        libraries = stopping or [*filter(apt_package, names)]
        if not libraries or not (stopping or objects.extension_modules(names[libraries[0]])):
            continue
        module = names[libraries[0]]
        cuda = [name for name in stopping if CUDA_LIBRARY.match(name)]
        together = [other for name in stopping for other in objects.missing_beside(name)]
        who = f"{objects.owner(module) or package} ({below_site(Path(module))})"
        if stopping:
            yield problem(
                f"{some(stopping)} is missing: no package and no system folder has it; "
                f"{who} needs it",
                f"import {package} fails",
                for_this_cuda(objects.owner(module), facts) if cuda else advice(together),
            )
        else:  # the package imports this module later, if at all
            yield remark(
                f"{who} needs {some(libraries)}, which is missing: if you use that part, "
                f"{advice(libraries)}"
            )


def opened_by_ctypes(path: str, names: list[str], objects: SharedObjects) -> list[str]:
    """Return the file itself if its package has no extension module and needs a system library."""
    owner = objects.owner(path)
    if owner and any(map(apt_package, names)):
        return [] if any(map(is_extension_module, owner.shared_objects)) else [path]
    return []


def some(libraries: list[str]) -> str:
    """Return the first library, and how many more there are."""
    return f"{libraries[0]} and {len(libraries) - 1} more" if len(libraries) > 1 else libraries[0]


def named_elsewhere(
    library: str, owner: Distribution | None, facts: Facts, objects: SharedObjects
) -> bool:
    """Return whether the checks libraries, cuda-builds or torch-builds report this library."""
    if not CUDA_LIBRARY.match(library):
        return bool(TORCH_LIBRARY.match(library))
    frameworks = {distribution_of(name, facts) for name in facts.frameworks}
    if not facts.on_gpu or owner is None or owner.name in frameworks:
        return True
    majors = cuda_majors(owner, objects)
    return bool(majors) and facts.cuda not in majors


def for_this_cuda(owner: Distribution | None, facts: Facts) -> str:
    """Return what to type if a package needs a CUDA library that this environment lacks."""
    name = owner.name if owner else "it"
    return (
        f"write a release of {name} for CUDA {facts.cuda} and cuDNN {facts.cudnn} into "
        "pyproject.toml; "
        f"{required_by(name)}; then: {REBUILD}"
    )


def opened_later(objects: SharedObjects) -> Iterator[Finding]:
    """Yield the packages that open a missing library by its name at run time."""
    for name, libraries in OPENED_LATER.items():
        if not (distribution := objects.ours.get(name)):
            continue
        stems = "|".join(re.escape(library.partition(".so")[0]) for library in libraries)
        own = [path.rpartition("/")[2] for path in distribution.shared_objects]
        # another package may bring it: espeakng-loader, libusb-package
        if any(re.match(rf"({stems})[._]", f) for f in [*objects.system, *own, *objects.names]):
            continue
        asked = [d.name for d in objects.distributions.values() if name in required_names(d)]
        if asked:  # they may never import it: mediapipe uses sounddevice for a microphone only
            yield remark(
                f"{distribution}, required by {', '.join(asked)}, opens {libraries[0]}, which is "
                f"missing: if you use that, {advice(libraries[:1])}"
            )
        else:
            yield problem(
                f"{distribution} opens {libraries[0]}, and no system folder has it",
                "it does not work without that library",
                advice(libraries[:1]),
            )


def cuda_opened_later(facts: Facts, objects: SharedObjects) -> Iterator[Finding]:
    """Yield the packages that open a missing library of another CUDA at run time."""
    for name, (library, wheel) in CUDA_OPENED_LATER.items() if facts.on_gpu else ():
        distribution = objects.ours.get(name)
        if distribution and library not in objects.names and library not in objects.system:
            yield remark(
                f"{distribution} opens {library} on a GPU, which is missing: if you use it there, "
                f"docker compose run --rm app uv add --optional nvidia {wheel}; then: "
                "docker compose build"
            )


def replaced(objects: SharedObjects) -> Iterator[Finding]:
    """Yield the packages that write the same shared object."""
    owners: dict[str, list[Distribution]] = {}
    for distribution in objects.ours.values():
        for path in distribution.shared_objects:
            owners.setdefault(path, []).append(distribution)
    pairs = {pair: path for path, both in owners.items() for pair in combinations(both, 2)}
    for (one, other), path in pairs.items():
        names = {one.name, other.name}
        two_cudas = one.name.startswith("nvidia-") and base(one) == base(other)
        if two_cudas or names <= {*ONNXRUNTIMES} or names <= {*OPENCVS}:
            continue  # the checks cudnn, cuda-builds and packages report these
        yield problem(
            f"{one} and {other} both have {below_site(Path(path))}",
            "the one installed last has overwritten files of the other",
            f"keep one; {required_by(one.name)}, {required_by(other.name)}; without it: {REBUILD}",
        )
