"""Check that the CUDA libraries can be loaded, and that there is one cuDNN."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from .facts import OWN_IMAGE, REBUILD, Facts
from .findings import Findings, ok, problem, skipped
from .installed import all_wanted, below_site, inside, package, sites, version_of
from .processes import error_summary, python, run
from .requirement import required_by
from .shared_objects import DRIVER_LIBRARY, SharedObjects, scan
from .system_packages import advice

# The files of each framework that are linked with CUDA.
GPU_CODE = {
    "onnxruntime": ["capi/libonnxruntime_providers_cuda.so"],
    "torch": ["lib/libtorch_cuda.so", "lib/libtorch_cuda_linalg.so", "lib/libcaffe2_nvrtc.so"],
}
CUDA_LIBRARY = re.compile(r"lib(cu(?!rl|ps)|nv|nccl)")
# cuDNN opens these only when it needs them, so a missing one goes unnoticed.
CUDNN_PARTS = ("graph", "ops", "cnn", "adv", "heuristic")
CUDNN_PARTS += ("engines_precompiled", "engines_runtime_compiled")

OPEN_SCRIPT = """
import ctypes, json, sys
class Link(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p), ("path", ctypes.c_char_p)]
for library in sys.argv[1:]:
    path, error, link = "", "", ctypes.POINTER(Link)()
    try:
        handle = ctypes.c_void_p(ctypes.CDLL(library)._handle)
        ctypes.CDLL(None).dlinfo(handle, 2, ctypes.byref(link))  # 2 is RTLD_DI_LINKMAP
        path = link.contents.path.decode()
    except OSError as problem:
        error = str(problem)
    print("opened:", json.dumps([path, error]), flush=True)
"""


def check_libraries(facts: Facts) -> Findings:
    """Check that every shared library that the frameworks need can be loaded."""
    where: dict[str, str] = {}
    missing: dict[str, str] = {}
    for framework, framework_facts in facts.frameworks.items():
        found, errors = linked(framework)
        lazy, lazy_errors = opened(framework_facts["lazy_libraries"])
        found |= lazy
        cudnn = found.get(f"libcudnn.so.{facts.cudnn}")
        parts, part_errors = opened(cudnn_parts(Path(cudnn), facts)) if cudnn else ({}, {})
        where |= {f"{framework}: {name}": path for name, path in (found | parts).items()}
        for name, error in (errors | lazy_errors | part_errors).items():
            if library := missing_library(error):  # the library itself, or one that it needs
                missing.setdefault(library, framework)
            else:
                yield problem(f"{name}: {error}", "it is damaged", origin(facts, name))
    if missing:
        first, *others = missing
        more = f"; also missing: {', '.join(others)}" if others else ""
        yield problem(
            f"{first} cannot be found, and {missing[first]} needs it{more}",
            "without it, a framework falls back to the CPU or crashes",
            origin(facts, first),
        )
    strays = {path for path in where.values() if not any(inside(path, s) for s in sites())}
    if facts.cuda_from == "wheels" and strays:
        first, *others = sorted(strays)
        more = f" and {len(others)} more" if others else ""
        yield problem(
            f"{first}{more}: not from the environment's packages",
            "it may be another version, and it hides a missing package",
            origin(facts, "libcu"),
        )
    folders = Counter(below_site(Path(path).parent) for path in sorted(set(where.values())))
    summary = ", ".join(f"{count} in {folder}" for folder, count in folders.items())
    yield (
        ok(summary, map(" => ".join, where.items()))
        if where
        else skipped("none is needed or found")
    )


def check_cudnn(facts: Facts) -> Findings:
    """Check for a second cuDNN: a process must not load parts of two."""
    name = f"libcudnn.so.{facts.cudnn}"
    users: dict[Path, list[str]] = {}
    for framework, framework_facts in facts.frameworks.items():
        found = linked(framework)[0] | opened({name} & {*framework_facts["lazy_libraries"]})[0]
        if name in found:
            users.setdefault(Path(found[name]).resolve(), []).append(framework)
    objects = scan(facts)
    copies = cudnn_copies(name, objects)
    summary = [
        f"{path} (used by {' and '.join(users.get(real, ['none']))})"
        for real, path in copies.items()
    ]
    wheels = [w for w in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13") if version_of(w)]
    if len(wheels) > 1:
        yield problem(
            f"{' and '.join(f'{w} {version_of(w)}' for w in wheels)} are installed together",
            "they write the same files, for two versions of CUDA",
            f"pyproject.toml must have {all_wanted(facts)}; {REBUILD}",
        )
    owners = dict.fromkeys(filter(None, (objects.owner(str(path)) for path in copies.values())))
    if len(owners) > 1:
        asked = "; ".join(required_by(owner.name) for owner in owners)
        yield problem(
            f"{' and '.join(map(str, owners))} each bring a {name}: {', '.join(summary)}",
            "parts of both meet in one process: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH",
            f"keep one; {asked}; without the other: {REBUILD}",
        )
    elif len(copies) > 1:
        yield problem(
            f"{len(copies)} copies of {name}: {', '.join(summary)}",
            "parts of both meet in one process: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH",
            f"the packages bring cuDNN, so the base image must have none: {OWN_IMAGE}"
            if facts.cuda_from == "wheels"
            else "the image brings cuDNN, so no package must bring one: "
            f"{required_by(wheels[0] if wheels else 'torch')}; without it: {REBUILD}",
        )
    else:
        yield ok(summary[0]) if summary else skipped("none is installed (see libraries)")


def origin(facts: Facts, library: str) -> str:
    """Return what to type to get a missing `library`."""
    if not CUDA_LIBRARY.match(library):
        return advice([library])
    return {
        "wheels": f"it comes with {all_wanted(facts)} in pyproject.toml; {REBUILD}",
        "ngc": f"it comes with NVIDIA's PyTorch image; {OWN_IMAGE}",
        "image": f"it comes with NVIDIA's -cudnn-runtime- images; {OWN_IMAGE}",
    }[facts.cuda_from]


def linked(framework: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the paths of the CUDA libraries that `framework` is linked with, and the errors."""
    found, errors = {}, {}
    folder = package(framework)
    for library in [folder / code for code in GPU_CODE[framework]] if folder else []:
        if not library.is_file():
            continue
        answer = run(["ldd", str(library)])
        if answer.returncode:
            errors[library.name] = error_summary(answer.stderr or answer.stdout)
        for name, path in re.findall(r"(\S+) => (not found|/\S+)", answer.stdout):
            if DRIVER_LIBRARY.fullmatch(name):
                continue
            if path == "not found":
                errors[name] = f"{name}: cannot open shared object file"
            elif CUDA_LIBRARY.match(name):
                found[name] = os.path.normpath(path)
    return found, errors


def opened(libraries: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Open each library; return the paths where the loader found them, and the errors."""
    libraries = list(libraries)
    printed, crash = python(OPEN_SCRIPT, *libraries) if libraries else ("", "")
    # sitecustomize and .pth files may print, too
    answers = [json.loads(text) for text in re.findall("^opened: (.*)", printed, re.MULTILINE)]
    if crash:
        answers.append(["", error_summary(crash)])
    found, errors = {}, {}
    for library, (path, error) in zip(libraries, answers, strict=False):
        if DRIVER_LIBRARY.fullmatch(missing_library(error)):  # a build has no driver
            path, error = library, ""
        (errors if error else found)[Path(library).name] = error or path
    return found, errors


def missing_library(error: str) -> str:
    """Return NAME of the loader's error "NAME: cannot open shared object file", else ""."""
    name = re.search(r"(\S+): cannot open shared object file", error)
    return Path(name[1]).name if name else ""


def cudnn_parts(cudnn: Path, facts: Facts) -> list[str]:
    """Return the paths of cuDNN's parts: those of every release, then those found beside it."""
    parts = [cudnn.with_name(f"libcudnn_{part}.so.{facts.cudnn}") for part in CUDNN_PARTS]
    there = sorted(cudnn.parent.glob(f"libcudnn_*.so.{facts.cudnn}"))
    return list(map(str, dict.fromkeys(parts + there)))


def cudnn_copies(name: str, objects: SharedObjects) -> dict[Path, Path]:
    """Return every cuDNN that a process may load: the real file, and the first path to it."""
    folders = [Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    paths = [folder / name for folder in folders] + sorted(map(Path, objects.names.get(name, [])))
    ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    cache = run([ldconfig, "-p"]).stdout if ldconfig else ""
    paths += map(Path, re.findall(rf"\s{re.escape(name)} .*=> (/\S+)", cache))
    return {path.resolve(): path for path in reversed(paths) if path.is_file()}
