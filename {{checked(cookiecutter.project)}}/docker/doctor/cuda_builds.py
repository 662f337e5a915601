"""Check that packages were built for this image's CUDA, or without CUDA for a CPU image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .distributions import Distribution
from .facts import REBUILD, Facts
from .findings import Finding, Findings, ok, problem, remark, skipped
from .installed import below_site, distribution_of
from .packages import ONNXRUNTIMES
from .requirement import dependents, required_by, required_names
from .shared_objects import DRIVER_LIBRARY, SharedObjects, base_name, scan

CUDA_LIBRARY = re.compile(
    r"lib(cudart|cublas|cublasLt|cudnn|cufft|cufftw|curand|cusolver|cusolverMg|cusparse|cusparseLt|"
    r"cufile|cupti|cuda|cutensor|cutensorMg|nvrtc|nvrtc-builtins|nvJitLink|nvjpeg|nvToolsExt|npp\w+|nccl|"
    r"nvshmem_host)\.so\b"
)
HASH = re.compile(r"-[0-9a-f]{6,}(?=\.so)")
TORCH_LIBRARY = re.compile(r"lib(torch|c10)(_\w+)?\.so")
# These have CUDA's major number, cuFFT one less; others keep theirs over several CUDAs.
NUMBERED = re.compile(
    r"lib(?:cudart|cublas|cublasLt|cupti|nvrtc|nvJitLink|nvjpeg|npp\w+)\.so\.(\d+)"
)
CUFFT = re.compile(r"libcufftw?\.so\.(\d+)")
IN_A_NAME = re.compile(r"-cu(?:da)?(1\d)\d?x?(?=-|$)")  # cupy-cuda12x, nvidia-nccl-cu12
IN_A_VERSION = re.compile(r"\bcu(1\d)")  # 2.5.1+cu124, 2.7.4+cu12torch2.5
OTHER_WAYS = {
    "tensorflow": "tensorflow[and-cuda] brings its own CUDA and cuDNN: install tensorflow without "
    "the extra, or use a separate project",
}


def check_cuda_builds(facts: Facts) -> Findings:
    """Check the CUDA of every package except the frameworks, which check_cuda_major checks."""
    objects = scan(facts)
    named = {*ONNXRUNTIMES, *(distribution_of(name, facts) for name in facts.frameworks)}
    count = 0
    for distribution in objects.ours.values():
        if distribution.name in (ONNXRUNTIMES if not facts.on_gpu else named):
            continue
        if majors := cuda_majors(distribution, objects):
            count += 1
            if nvidia_package(distribution):
                continue
            if facts.on_gpu:
                yield from another_major(facts, distribution, majors, objects)
            else:
                yield from without_a_gpu(distribution, majors, objects)
        elif facts.on_gpu and distribution.name == "torch" and distribution.local_version == "cpu":
            yield remark(f"{distribution} is a build without CUDA: it runs on the CPU")
    yield from nvidia_packages(facts, objects)
    if facts.on_gpu:
        yield (
            ok(f"{count} packages besides the frameworks")
            if count
            else skipped("no other package uses CUDA")
        )
    else:
        yield ok("no package needs CUDA")


def nvidia_package(distribution: Distribution) -> bool:
    """Return whether a distribution is one of NVIDIA's CUDA libraries, such as nvidia-cublas."""
    return distribution.name.startswith("nvidia-")


def cuda_majors(distribution: Distribution, objects: SharedObjects) -> dict[int, list[str]]:
    """Return the CUDA majors that a package was built for, each with the files that show it.

    If the name or version of the package shows it, the list of files is empty.
    """
    named = IN_A_NAME.search(distribution.name) or IN_A_VERSION.search(distribution.local_version)
    if named:
        return {int(named[1]): []}
    found: dict[int, list[str]] = {}
    for path in distribution.shared_objects:
        for name in objects.files[path].needed if path in objects.files else ():
            if major := major_of(name):
                found.setdefault(major, []).append(path)
    return found


def major_of(library: str) -> int:
    """Return the CUDA major in a library's name, 0 if it has none."""
    if match := NUMBERED.match(library):
        return int(match[1])
    match = CUFFT.match(library)
    return int(match[1]) + 1 if match else 0


def another_major(
    facts: Facts, distribution: Distribution, majors: dict[int, list[str]], objects: SharedObjects
) -> Iterator[Finding]:
    """Yield a problem for a package that needs another CUDA, a remark if only a part does."""
    if facts.cuda in majors:  # some packages have files for several
        return
    major, files = next(iter(majors.items()))
    modules = {module for path in files for module in objects.extension_modules(path)}
    example = f" ({below_site(Path(files[0]))})" if files else ""
    if files and (not modules or objects.optional(modules)):
        yield remark(
            f"{distribution} has a part for CUDA {major}{example}, which may not work with "
            f"CUDA {facts.cuda} of this environment"
        )
        return
    if not files and self_contained(distribution, objects):
        yield remark(
            f"{distribution} is built for CUDA {major}, and this environment is CUDA {facts.cuda}: "
            "it brings its own CUDA libraries"
        )
        return
    yield problem(
        f"{distribution} is built for CUDA {major}{example}; this environment is CUDA {facts.cuda}",
        "a package does not work with another major version of CUDA",
        f"{other_name(distribution, major, facts.cuda)}; {required_by(distribution.name)}; "
        f"then: {REBUILD}",
    )


def self_contained(distribution: Distribution, objects: SharedObjects) -> bool:
    """Return whether a package has its own copy of CUDA, and needs no other.

    auditwheel adds a hash to the name of a copy. A package that names no library of CUDA at all may
    open the environment's later, as JAX's plugin does.
    """
    paths = [path for path in distribution.shared_objects if path in objects.files]
    needed = {name for path in paths for name in objects.files[path].needed}
    needed = {name for name in needed if not DRIVER_LIBRARY.fullmatch(name)}
    if any(CUDA_LIBRARY.match(name) or TORCH_LIBRARY.match(name) for name in needed):
        return False
    return any(CUDA_LIBRARY.match(HASH.sub("", name)) for name in needed)


def other_name(distribution: Distribution, major: int, cuda: int) -> str:
    """Return the advice to install the package for this CUDA, by a name that its makers use."""
    if re.search(rf"-cu(da)?{major}\d", distribution.name):  # anyone could register spconv-cu136
        return f"write its release for CUDA {cuda} into pyproject.toml, if there is one"
    name = re.sub(rf"-cu(da)?{major}", rf"-cu\g<1>{cuda}", distribution.name)
    if name != distribution.name:
        return f"write {name} into pyproject.toml instead, if it exists"
    return f"write a release of {distribution.name} for CUDA {cuda} into pyproject.toml"


def without_a_gpu(
    distribution: Distribution, majors: dict[int, list[str]], objects: SharedObjects
) -> Iterator[Finding]:
    """Yield a problem for a package in a CPU image that needs a CUDA library."""
    (major, files), parts = next(iter(majors.items())), []
    for path in distribution.shared_objects:
        missing = [n for n in objects.missing.get(path, []) if CUDA_LIBRARY.match(n)]
        if missing and (modules := objects.extension_modules(path)):
            # a package that is named for CUDA computes nothing without it
            if files and objects.optional(modules):
                parts.append(below_site(Path(path)))
                continue
            yield problem(
                f"{distribution} is built for CUDA {major}: {below_site(Path(path))} needs "
                f"{missing[0]}",
                "with ACCELERATOR=cpu the image has no CUDA, so it cannot be imported",
                "move it to the extra `nvidia` of pyproject.toml, or take a build without CUDA; "
                f"{required_by(distribution.name)}; then: {REBUILD}",
            )
            return
    if parts:
        yield remark(
            f"{distribution} has a part for CUDA {major} ({parts[0]}), which does not work with "
            "ACCELERATOR=cpu"
        )


def nvidia_packages(facts: Facts, objects: SharedObjects) -> Iterator[Finding]:
    """Yield NVIDIA's packages for another CUDA; in a CPU image, all of them."""
    installed = [
        distribution
        for distribution in objects.ours.values()
        if nvidia_package(distribution)
        and any(path in objects.files for path in distribution.shared_objects)
    ]
    if not facts.on_gpu:
        if installed:
            yield remark(
                f"{names(installed)}: CUDA libraries, which ACCELERATOR=cpu does not use; required "
                f"by {asked_by(installed, objects)}: a build without CUDA saves the space"
            )
        return
    suffixed = [(d, match) for d in installed if (match := IN_A_NAME.search(d.name))]
    others = [d for d, match in suffixed if int(match[1]) != facts.cuda]
    others = [d for d in others if base(d) != "nvidia-cudnn"]  # the check cudnn reports it
    # libcublas.so.12 and libcublas.so.13 can be loaded side by side
    names_of = {d.name: library_names(d, objects) for d in installed}
    twice = [
        d
        for d in others
        if any(
            names_of[d.name] & names_of.get(ours, set())
            for ours in (base(d), f"{base(d)}-cu{facts.cuda}")
        )
    ]
    others = [d for d in others if d not in twice]
    if twice:
        dependent_names = asked_by(twice, objects)
        excluded = ", ".join(f'"{distribution.name}"' for distribution in twice)
        way = f"add {excluded} to exclude-dependencies of [tool.uv] in pyproject.toml"
        for name, other_way in OTHER_WAYS.items():
            way = other_way if name in dependent_names.split(", ") else way
        yield problem(
            f"{names(twice)} for another CUDA beside those of CUDA {facts.cuda}",
            f"the frameworks may load the wrong one; required by {dependent_names}",
            f"{way}; {REBUILD}",
        )
    if others:
        dependent_names = asked_by(others, objects)
        yield remark(f"{names(others)}: not for CUDA {facts.cuda}; required by {dependent_names}")


def library_names(distribution: Distribution, objects: SharedObjects) -> set[str]:
    """Return the names by which the loader knows a package's libraries."""
    paths = [path for path in distribution.shared_objects if path in objects.files]
    return {
        name for path in paths for name in (base_name(path), objects.files[path].soname) if name
    }


def base(distribution: Distribution) -> str:
    """Return nvidia-cublas for nvidia-cublas-cu12."""
    return IN_A_NAME.sub("", distribution.name)


def names(distributions: Iterable[Distribution]) -> str:
    """Return the first package with its version, and how many more there are."""
    first, *others = map(str, distributions)
    return f"{first} and {len(others)} more" if others else first


def asked_by(wanted: Iterable[Distribution], objects: SharedObjects) -> str:
    """Return the packages that require these, without NVIDIA's own."""
    wanted_names = {distribution.name for distribution in wanted}
    toolkit = objects.distributions.get("cuda-toolkit")  # requires all of them, for other packages
    if toolkit and required_names(toolkit) & wanted_names:
        wanted_names.add(toolkit.name)
    others = [
        distribution
        for distribution in objects.distributions.values()
        if distribution.name not in wanted_names and not nvidia_package(distribution)
    ]
    return ", ".join(sorted(dependents(wanted_names, others))) or "pyproject.toml itself"
