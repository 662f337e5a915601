"""Decide whether a package works with a line, from uv's resolution and the files in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from compatibility.index import CannotCheck
from compatibility.system import System
from compatibility.uv_add import Distribution
from compatibility.wheels import Contents

# The major version of CUDA in a package's name: nvidia-cudnn-cu12, cupy-cuda13x, jax-cuda12-plugin.
CUDA_NAME = re.compile(r"(?:^|-)cu(?:da)?-?(\d\d)x?(?:-|$)")
# … and in a path: nvidia/cu13/lib/…, or in one of several libraries: libbitsandbytes_cuda130.so.
CUDA_PATH = re.compile(r"^nvidia/cu(\d\d)/")
CUDA_FILE = re.compile(r"cu(?:da)?_?(\d\d)\d?(?=\D|$)")
OTHER_GPU = re.compile(r"rocm|hip|xpu|musa")
CUDA_LIBRARY = re.compile(
    r"lib(cudart|cublas(Lt)?|cufft|curand|cusparse|cusolver|cudnn\w*|nvrtc|nccl|nvJitLink)\.so"
)
# By CUDA: the libraries whose version is not that of CUDA.
LIBRARY_VERSIONS = {
    12: {"libcudnn": 9, "libcufft": 11, "libcurand": 10, "libcusolver": 11, "libnccl": 2},
    13: {"libcudnn": 9, "libcufft": 12, "libcurand": 10, "libcusolver": 12, "libcusparse": 12, "libnccl": 2},
}
TORCH_LIBRARY = re.compile(r"lib(torch\w*|c10\w*)\.so$")
ABI_TAG = re.compile(r"\.(cpython-\d+\w*(-x86_64-linux-gnu)?|abi3)\.so$")
AGREES, SYSTEM, REFUSED = "agrees", "system", "refused"


@dataclass(frozen=True)
class Place:
    """The project that a package is added to: the line's facts, the accelerator, and the libraries."""

    accelerator: str
    cuda: int
    torch: str | None
    ubuntu: str
    system: System
    cuda_in_image: bool  # the base image has CUDA and cuDNN


@dataclass(frozen=True)
class Verdict:
    """The verdict on one package in one project."""

    kind: str
    version: str = ""
    newest: str = ""  # if it is another one
    system: tuple[str, ...] = ()  # for docker/apt-packages.txt
    reasons: tuple[str, ...] = ()  # of a refusal
    unread: tuple[str, ...] = ()  # compiled files that were not read
    narrowed: bool = False  # uv resolves it only for the image's Python and x86-64
    replaced: bool = False  # the project has another package instead


@dataclass
class Inspection:
    """What was found in a resolution."""

    reasons: list[str] = field(default_factory=list)
    system: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


def judge(resolved: list[tuple[Distribution, Contents]], before: set[str], place: Place) -> Inspection:
    """Return the problems of a resolution, and the system packages that it needs. Raises CannotCheck.

    `before`: the packages of the unchanged project.
    """
    found = Inspection()
    new = [(item, contents) for item, contents in resolved if item.name not in before]
    found.reasons += other_cuda(resolved, place)
    found.reasons += same_files(resolved)
    if place.accelerator == "cpu":
        found.reasons += cuda_without_gpu(item for item, _ in new)
    for item, contents in new:
        sources(item, contents, place, found)
        found.reasons += other_torch(item, contents, place)
        found.unread += [f"{item.name}: {path}" for path in contents.unread]
    libraries(new, provided(resolved), place, found)
    return found


def other_cuda(resolved: list[tuple[Distribution, Contents]], place: Place) -> Iterator[str]:
    """Yield the packages that were built for another CUDA than the line's."""
    wrong: dict[str, list[str]] = {}
    for item, contents in resolved:
        if unused(item, place):
            continue
        found = {match[1] for match in [CUDA_NAME.search(item.name)] if match}
        found |= {match[1] for path in contents.libraries if (match := CUDA_PATH.match(path))}
        for major in sorted(found - {str(place.cuda)}):
            wrong.setdefault(major, []).append(item.name)
    for major, names in wrong.items():
        yield f"brings packages for CUDA {major}: {listed(names)}"


def same_files(resolved: list[tuple[Distribution, Contents]]) -> Iterator[str]:
    """Yield the pairs of packages with different files at the same path, such as two cuDNNs."""
    owners: dict[str, tuple[str, int]] = {}
    pairs: dict[tuple[str, str], str] = {}
    for item, contents in resolved:
        for path, checksum in contents.shared.items():
            other, known = owners.setdefault(path, (item.name, checksum))
            if other != item.name and known != checksum and path.count("/"):
                pairs.setdefault((other, item.name), path)
    for (one, other), path in pairs.items():
        yield f"{one} and {other} both install `{path}`"


def unused(item: Distribution, place: Place) -> bool:
    """Return whether a package is one of NVIDIA's on the CPU: the doctor only remarks on its libraries."""
    return place.accelerator == "cpu" and item.name.startswith("nvidia-")


def cuda_without_gpu(new: Iterable[Distribution]) -> Iterator[str]:
    """Yield the packages in a resolution for the CPU that are builds for CUDA."""
    names = [item.name for item in new if CUDA_NAME.search(item.name) and not item.name.startswith("nvidia-")]
    if names:
        yield f"brings builds for CUDA: {listed(names)}"


def sources(item: Distribution, contents: Contents, place: Place, found: Inspection) -> None:
    """Note the packages without a wheel that the image cannot build."""
    if not item.url:
        found.reasons.append(
            f"{item.name} {item.version} has no wheel for Ubuntu {place.ubuntu}, and no source"
        )
    if not item.is_wheel and contents.source == "cuda":  # C and C++ are compiled: the build has g++
        found.reasons.append(
            f"{item.name} {item.version} compiles CUDA code: no wheel, and the image has no nvcc"
        )


def other_torch(item: Distribution, contents: Contents, place: Place) -> Iterator[str]:
    """Yield a problem if a package was compiled for another PyTorch than the line's."""
    users = [path for path in contents.torch_names if not place.system.optional(item.name, path)]
    if not users or not place.torch:
        return
    try:
        wanted = SpecifierSet(contents.torch or "")
    except InvalidSpecifier:
        wanted = SpecifierSet()
    if not wanted.contains(place.torch):
        yield f"{item.name} {item.version} was built for torch{wanted}; the line has {place.torch}"
    elif item.name not in ("torchvision", "torchaudio") and not any(part.operator == "==" for part in wanted):
        asked = f"torch{wanted}" if contents.torch is not None else "no PyTorch"
        yield (
            f"{item.name} {item.version} uses C++ functions of one PyTorch and requires {asked}: "
            f"nothing says that it was built for {place.torch}"
        )


def provided(resolved: list[tuple[Distribution, Contents]]) -> set[str]:
    """Return the names of all shared libraries in the packages."""
    return {PurePosixPath(path).name for _, contents in resolved for path in contents.libraries}


def libraries(
    new: list[tuple[Distribution, Contents]],
    names: set[str],
    place: Place,
    found: Inspection,
) -> None:
    """Search every library that the packages load: in the packages, the image, the driver and Ubuntu."""
    for item, contents in new:
        for group in loaded(item, contents, place):
            results = [missing(path, contents, names, place) for path in group]
            # of a library that comes in several builds, the package takes one that loads
            lacking, packages = min(results, key=lambda result: (len(result[0]), len(result[1])))
            found.system |= packages
            found.reasons += [
                f"{item.name}: `{need}`, which `{path}` needs, is nowhere" for need, path in lacking
            ]
        for stem in contents.opened:
            known = place.system.opened(stem, place.ubuntu)
            if known:
                found.system.add(known)


def loaded(item: Distribution, contents: Contents, place: Place) -> Iterator[list[str]]:
    """Yield the files that Python loads: extension modules, and libraries that no other file needs.

    Libraries whose names differ in a number are builds of one library; those for another CUDA are skipped.
    """
    asked_for = {need for needs in contents.needed.values() for need in needs}
    groups: dict[str, list[str]] = {}
    for path in contents.needed:
        if place.system.optional(item.name, path):
            continue
        name = PurePosixPath(path).name
        if ABI_TAG.search(name) or not name.startswith("lib"):
            groups[path] = [path]
        elif name not in asked_for and ".libs/" not in path:
            match = CUDA_FILE.search(name)
            if match and (match[1] != str(place.cuda) or place.accelerator == "cpu"):
                continue
            if OTHER_GPU.search(name):
                continue
            groups.setdefault(re.sub(r"\d+", "N", path), []).append(path)
    yield from groups.values()


def missing(
    path: str, contents: Contents, names: set[str], place: Place
) -> tuple[list[tuple[str, str]], set[str]]:
    """Return the missing libraries of a file, each with the file that needs it, and Ubuntu's packages."""
    own = {PurePosixPath(name).name: name for name in contents.needed}
    lacking, packages, waiting, seen = [], set(), [path], set()
    while waiting:
        current = waiting.pop()
        seen.add(current)
        for need in contents.needed[current]:
            if need in own:
                waiting += [own[need]] * (own[need] not in seen)
            elif (
                need in names
                or place.system.has(need)
                or (place.accelerator == "nvidia" and place.system.is_driver(need))
            ):
                continue
            elif place.cuda_in_image and place.accelerator == "nvidia" and CUDA_LIBRARY.match(need):
                if not of_cuda(need, place.cuda):
                    lacking.append((need, current))
            elif known := place.system.package(need, place.ubuntu):
                packages.add(known)
            else:
                lacking.append((need, current))
    return lacking, packages


def of_cuda(library: str, major: int) -> bool:
    """Return whether NVIDIA's image for a CUDA has a library of this name. Raises CannotCheck."""
    if major not in LIBRARY_VERSIONS:
        raise CannotCheck(f"compatibility/verdicts.py lacks LIBRARY_VERSIONS[{major}]")
    name, _, version = library.partition(".so.")
    own = LIBRARY_VERSIONS[major].items()
    wanted = next((number for stem, number in own if name.startswith(stem)), major)
    return version.split(".")[0] == str(wanted)


def listed(names: list[str], most: int = 4) -> str:
    """Return the first few names as text."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counts(verdicts: Mapping[object, Verdict]) -> dict[str, int]:
    """Return how many verdicts are of each kind."""
    return {kind: sum(item.kind == kind for item in verdicts.values()) for kind in (AGREES, SYSTEM, REFUSED)}
