#!/usr/bin/env python3
"""Does this environment agree with itself and with this machine? If not: what to type.

    docker compose run --rm app doctor    everything
    doctor --build                        what needs no GPU: the last step of the build
    doctor --json                         the same for programs

It needs Python alone, so it runs when everything else is broken. Frameworks and libraries are tried
in processes of their own: a crash there is a finding, not the end of the doctor. To add a check,
write a function that yields findings and put it into CHECKS, at the end.
"""

from __future__ import annotations

import argparse
import errno
import getpass
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

# What this image was made of; the template wrote it.
ENVIRONMENT = Path(__file__).resolve().parent / "environment.json"

VENV = Path(os.environ.get("UV_PROJECT_ENVIRONMENT") or "/opt/venv")
CODE, CACHE = Path("/code"), Path("/cache")
DEVICES, SHARED_MEMORY = Path("/dev"), Path("/dev/shm")
KERNEL_DRIVER = Path("/proc/driver/nvidia/version")

# -I: neither the current folder nor PYTHONPATH decides. -B: a build step leaves no files behind.
PYTHON = [sys.executable, "-I", "-B"]

ONNXRUNTIMES = ("onnxruntime-gpu", "onnxruntime")
OPENCVS = tuple(
    f"opencv-{kind}python{end}" for kind in ("", "contrib-") for end in ("-headless", "")
)
OPENCVS += ("opencv",)  # NVIDIA's own, in its PyTorch image

# The parts of each framework that are linked with CUDA.
GPU_CODE = {
    "onnxruntime": ["capi/libonnxruntime_providers_cuda.so"],
    "torch": ["lib/libtorch_cuda.so", "lib/libtorch_cuda_linalg.so", "lib/libcaffe2_nvrtc.so"],
}
CUDA_LIBRARY = re.compile(r"lib(cu(?!rl|ps)|nv|nccl)")
DRIVER_LIBRARY = re.compile(r"lib(cuda|cudadebugger|nvidia-.*)\.so\.1")  # the host brings these
# cuDNN opens them when it first needs them; until then nobody notices that one is missing.
CUDNN_PARTS = ("graph", "ops", "cnn", "adv", "heuristic")
CUDNN_PARTS += ("engines_precompiled", "engines_runtime_compiled")

REBUILD = (
    "docker compose build (where there is a uv.lock, first: docker compose run --rm app uv lock; "
    "without an image yet, move uv.lock away)"
)
OWN_IMAGE = "leave BASE_IMAGE in .env empty; docker compose build"
WITHOUT_GPU = "to do without the GPU: ACCELERATOR=cpu in .env; docker compose build"
TOOLKIT = (
    "on the host: nvidia-smi; if that works: sudo nvidia-ctk runtime configure --runtime=docker "
    "&& sudo systemctl restart docker"
)


@dataclass
class Facts:
    """What environment.json says, and ACCELERATOR."""

    environment: str
    line: str
    cuda: int
    cudnn: int
    cuda_from: str  # image, wheels or ngc
    minimum_driver: str
    minimum_python: str
    shared_memory_mib: int | None
    packages: list[str]  # that every accelerator has
    frameworks: dict[str, dict]
    accelerator: str

    @property
    def on_gpu(self) -> bool:
        return self.accelerator == "nvidia"


@dataclass
class Finding:
    """What a check found; of a problem also why it matters and what to type."""

    check: str
    status: str  # ok, problem or skipped
    found: str
    why: str = ""
    fix: str = ""
    details: list[str] = field(default_factory=list)  # shown by --json alone


Findings = Iterator[Finding]


def ok(found: str, details: Iterable[str] = ()) -> Finding:
    return Finding("", "ok", found, details=list(details))


def problem(found: str, why: str, fix: str) -> Finding:
    return Finding("", "problem", found, why, fix)


def skipped(reason: str) -> Finding:
    return Finding("", "skipped", reason)


# ---------------------------------------------------------------- the checks: packages


def check_python(facts: Facts) -> Findings:
    """The interpreter is new enough, and the environment's own."""
    version = ".".join(map(str, sys.version_info[:3]))
    if numbers(version) < numbers(facts.minimum_python):
        yield problem(
            f"Python {version}: {facts.minimum_python} or newer is needed",
            "packages in pyproject.toml have no wheels for it",
            OWN_IMAGE,
        )
    if Path(sys.prefix).resolve() == VENV.resolve():
        yield ok(f"{version} in {VENV}")
    else:
        yield problem(
            f"{sys.executable} is not the Python of {VENV}",
            "your scripts run without the packages of this project",
            f"PATH must begin with {VENV}/bin; if it does: docker compose build --no-cache",
        )


def check_packages(facts: Facts) -> Findings:
    """All of them; one ONNX Runtime, the right one; one OpenCV; no wheel before NVIDIA's torch."""
    runtimes, opencvs = ([n for n in group if version_of(n)] for group in (ONNXRUNTIMES, OPENCVS))
    right = distribution_of("onnxruntime", facts)
    for framework in facts.frameworks:
        if not (version_of(framework) or (framework == "onnxruntime" and runtimes)):
            yield problem(
                f"{distribution_of(framework, facts)} is not installed",
                f"the environment {facts.environment} is made for it",
                f"{wanted(framework, facts)} in pyproject.toml; {REBUILD}. If you do not need "
                f"{framework}: take it out of docker/environment.json, then build",
            )
    for name in facts.packages:
        if not (version_of(name) or (name in OPENCVS and opencvs)):
            yield problem(
                f"{name} is not installed",
                f"the environment {facts.environment} is made with it",
                f"{name} in pyproject.toml; {REBUILD}. If you do not need it: take it out of "
                "docker/environment.json, then build",
            )
    if len(runtimes) > 1:
        yield two_packages(runtimes, right)
    elif runtimes and runtimes != [right]:
        yield problem(
            f"{runtimes[0]} is installed, but ACCELERATOR={facts.accelerator} needs {right}",
            "one is made for the CPU alone, the other for machines with CUDA",
            f"{right} in the extra `{facts.accelerator}` of pyproject.toml; {REBUILD}",
        )
    if len(opencvs) > 1:
        yield two_packages(opencvs, "opencv" if "opencv" in opencvs else opencvs[0])
    torch = next(iter(importlib.metadata.distributions(name="torch")), None)
    if torch and facts.cuda_from == "ngc" and facts.on_gpu and inside(torch.locate_file(""), VENV):
        yield problem(
            f"torch {torch.version} from PyPI hides the one of NVIDIA's image",
            "it brings CUDA libraries of its own, beside those of the image",
            f"{who_asks('torch')}; without it: {REBUILD}",
        )
    names = dict.fromkeys(
        [*(distribution_of(f, facts) for f in facts.frameworks), *runtimes, *opencvs]
    )
    said = [
        f"{name} {version_of(name)}{verified(name, facts)}" for name in names if version_of(name)
    ]
    yield ok(", ".join(said) or "none to compare")


def two_packages(names: list[str], right: str) -> Finding:
    wrong = next(name for name in names if name != right)
    return problem(
        f"{' and '.join(f'{name} {version_of(name)}' for name in names)} are installed together",
        "they write the same folder, so the files of one replaced files of the other",
        f"keep {right}; {who_asks(wrong)}; without it: {REBUILD}",
    )


def check_cuda_major(facts: Facts) -> Findings:
    """Every framework was built for the CUDA of this environment."""
    there = [name for name in facts.frameworks if package(name)]
    # another package than the right one is named by `packages`
    built = {name: cuda_of(name) for name in there if version_of(distribution_of(name, facts))}
    said = [
        f"{name} {version_of(distribution_of(name, facts))} is "
        + (f"for CUDA {cuda}" if cuda else "a build without CUDA")
        for name, cuda in built.items()
    ]
    if any(numbers(cuda)[:1] != (facts.cuda,) for cuda in built.values()):
        yield problem(
            f"{', '.join(said)}; this environment is CUDA {facts.cuda}",
            "libraries of one major version never serve a framework that was built for another",
            f"what fits: {all_wanted(facts)} in pyproject.toml; {REBUILD}",
        )
    else:
        yield ok(", ".join(said)) if said else skipped("no framework is installed (see packages)")


def check_imports(facts: Facts) -> Findings:
    """The frameworks, NumPy and OpenCV can be imported."""
    modules = [name for name in facts.frameworks if package(name)]
    modules += ["numpy"] if version_of("numpy") else []
    modules += ["cv2"] if any(map(version_of, OPENCVS)) else []
    errors = {module: python(f"import {module}")[1] for module in modules}
    for module, error in errors.items():
        if error:
            yield problem(
                f"import {module}: {in_short(error)}",
                "a script that needs it cannot start",
                "a library of the system is missing? Its package into docker/apt-packages.txt; "
                "docker compose build. Anything else: docker compose build --no-cache",
            )
    yield ok(", ".join(module for module in modules if not errors[module]) or "none")


# ---------------------------------------------------------------- the checks: libraries


def check_libraries(facts: Facts) -> Findings:
    """Every shared library that the frameworks need, now or later, can be loaded."""
    where: dict[str, str] = {}
    missing: dict[str, str] = {}
    for framework, its in facts.frameworks.items():
        found, errors = linked(framework)
        lazy, lazy_errors = opened(its["lazy_libraries"])
        found |= lazy
        cudnn = found.get(f"libcudnn.so.{facts.cudnn}")
        parts, part_errors = opened(cudnn_parts(Path(cudnn), facts)) if cudnn else ({}, {})
        where |= {f"{framework}: {name}": path for name, path in (found | parts).items()}
        for name, error in (errors | lazy_errors | part_errors).items():
            if lost := missing_library(error):  # the library itself, or one that it needs
                missing.setdefault(lost, framework)
            else:
                yield problem(f"{name}: {error}", "it is damaged", origin(facts, name))
    if missing:
        first, *others = missing
        more = f"; also missing: {', '.join(others)}" if others else ""
        yield problem(
            f"{first} cannot be found, and {missing[first]} needs it{more}",
            "without it a framework falls back to the CPU, or stops in the middle of its work",
            origin(facts, first),
        )
    strays = {path for path in where.values() if not any(inside(path, s) for s in sites())}
    if facts.cuda_from == "wheels" and strays:
        first, *others = sorted(strays)
        more = f" and {len(others)} more" if others else ""
        yield problem(
            f"{first}{more}: not from the environment's packages",
            "it hides that a package is missing, and may be another version",
            origin(facts, "libcu"),
        )
    folders = Counter(shorter(Path(path).parent) for path in sorted(set(where.values())))
    summary = ", ".join(f"{count} in {folder}" for folder, count in folders.items())
    yield (
        ok(summary, map(" => ".join, where.items()))
        if where
        else skipped("none is needed or found")
    )


def check_cudnn(facts: Facts) -> Findings:
    """There is one cuDNN: it loads parts of itself later, and must not meet those of another."""
    name = f"libcudnn.so.{facts.cudnn}"
    users: dict[Path, list[str]] = {}
    for framework, its in facts.frameworks.items():
        found = linked(framework)[0] | opened({name} & {*its["lazy_libraries"]})[0]
        if name in found:
            users.setdefault(Path(found[name]).resolve(), []).append(framework)
    copies = cudnn_copies(name)
    said = [
        f"{path} (used by {' and '.join(users.get(real, ['none']))})"
        for real, path in copies.items()
    ]
    wheels = [w for w in ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13") if version_of(w)]
    if len(wheels) > 1:
        yield problem(
            f"{' and '.join(f'{w} {version_of(w)}' for w in wheels)} are installed together",
            "they write the same files, for two versions of CUDA",
            f"what fits: {all_wanted(facts)} in pyproject.toml; {REBUILD}",
        )
    if len(copies) > 1:
        yield problem(
            f"{len(copies)} copies of {name}: {', '.join(said)}",
            "parts of both meet in one process: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH",
            f"the packages bring cuDNN, so the base image must have none: {OWN_IMAGE}"
            if facts.cuda_from == "wheels"
            else "the image brings cuDNN, so no package may; see who asks for one: "
            f"{who_asks(wheels[0] if wheels else 'torch')}; without it: {REBUILD}",
        )
    else:
        yield ok(said[0]) if said else skipped("none is installed (see libraries)")


# ---------------------------------------------------------------- the checks: this machine


def check_gpu(facts: Facts) -> Findings:
    """The container has a GPU."""
    asked = os.environ.get("NVIDIA_VISIBLE_DEVICES", "")
    if devices := gpu_devices():
        yield ok(", ".join(map(str, devices)))
    elif asked in ("", "none", "void"):
        yield problem(
            "there is no GPU in this container, and none was asked for",
            "everything would run on the CPU",
            f"docker compose run --rm app, or docker run --gpus all; {WITHOUT_GPU}",
        )
    else:  # NVIDIA's images set it themselves, so it does not say that a GPU was asked for
        yield problem(
            f"NVIDIA_VISIBLE_DEVICES={asked}, but there is no GPU in this container",
            "everything would run on the CPU",
            f"with docker run: --gpus all; with docker compose, which reserves one, {TOOLKIT}; "
            f"{WITHOUT_GPU}",
        )


def check_driver(facts: Facts) -> Findings:
    """The host's driver is new enough for this CUDA."""
    version, need = driver_version(), facts.minimum_driver
    if version and numbers(version) >= numbers(need):
        yield ok(f"{version} ({need} or newer is needed)")
    elif version and driver_speaks(facts.cuda):
        yield ok(f"{version}, older than {need}: CUDA {facts.cuda} by forward compatibility")
    elif version:
        yield problem(
            f"the driver {version} is too old: {need} or newer is needed",
            f"CUDA {facts.cuda} does not start with it",
            f"on the host: install a newer NVIDIA driver; {WITHOUT_GPU}; or make the project again "
            "with another answer to `cuda`",
        )
    elif gpu_devices():
        yield problem(
            f"the driver's version is unknown: no nvidia-smi, no {KERNEL_DRIVER}",
            "the driver's libraries are missing in this container, too, then",
            TOOLKIT,
        )
    else:
        yield skipped("not found, as there is no GPU (see gpu)")


def check_kernels(facts: Facts) -> Findings:
    """Each framework has kernels for each GPU."""
    gpus = dict.fromkeys((name, capability) for capability, name in query_gpus())
    if not gpus:
        yield skipped("nvidia-smi names no GPU (see gpu)")
    for framework, its in facts.frameworks.items() if gpus else ():
        architectures = its["architectures"]
        if not architectures or verified(distribution_of(framework, facts), facts):
            architectures = said_by_torch() if framework == "torch" else []
        if not architectures:
            yield skipped(f"not known for this version of {framework}")
            continue
        lacking = [
            f"{name} ({c})" for name, c in gpus if not any(serves(a, c) for a in architectures)
        ]
        if lacking:
            yield problem(
                f"{framework} has no kernels for {', '.join(lacking)}, "
                f"only for {', '.join(architectures)}",
                'it stops with "no kernel image is available for execution on the device"',
                f"another GPU: GPU_IDS in .env; {WITHOUT_GPU}; or make the project again with "
                "another answer to `cuda`",
            )
        else:
            yield ok(f"{framework}: {', '.join(f'{name} ({c})' for name, c in gpus)}")


def said_by_torch() -> list[str]:
    """Return the architectures that torch names: sm_90 is 9.0, compute_120 is 12.0+PTX."""
    printed, _ = python("import torch; print(*torch.cuda.get_arch_list())", seconds=300)
    named = re.findall(r"\b(sm|compute)_(\d+)(\d)([af]?)\b", printed)
    return [
        f"{major}.{minor}{suffix}" + ("+PTX" if kind == "compute" else "")
        for kind, major, minor, suffix in named
    ]


# x[1,1,4,4] -> Conv with 0..8 as 3x3 kernel (cuDNN) -> MatMul with [[1,2],[3,4]] (cuBLAS) -> y.
# Whole numbers, so that every GPU gets them right. Made with onnx.helper; opset 13, IR version 8.
MODEL = (
    "CAg6swEKDwoBeAoBaxIBYyIEQ29udgoRCgFjCgFtEgF5IgZNYXRNdWwSAWcqMwgBCAEIAwgDEAFCAWtKJAAAAAAA"
    "AIA/AAAAQAAAQEAAAIBAAACgQAAAwEAAAOBAAAAAQSobCAIIAhABQgFtShAAAIA/AAAAQAAAQEAAAIBAWhsKAXgS"
    "FgoUCAESEAoCCAEKAggBCgIIBAoCCARiGwoBeRIWChQIARIQCgIIAQoCCAEKAggCCgIIAkIECgAQDQ=="
)
RESULT = [1140, 1692, 1716, 2556]  # for x = 0..15

ONNXRUNTIME_SCRIPT = """
import base64, json, sys
import numpy, onnxruntime
device, model = sys.argv[1], base64.b64decode(sys.argv[2])
session = onnxruntime.InferenceSession(model, providers=[device], enable_fallback=False)
if session.get_providers()[0] != device:
    sys.exit(f"the session runs on {session.get_providers()[0]}")
x = numpy.arange(16, dtype=numpy.float32).reshape(1, 1, 4, 4)
print(json.dumps(session.run(None, {"x": x})[0].flatten().tolist()))
"""

TORCH_SCRIPT = """
import json, sys
import torch
device = sys.argv[1]
x, k = torch.arange(16.0).reshape(1, 1, 4, 4), torch.arange(9.0).reshape(1, 1, 3, 3)
y = torch.nn.functional.conv2d(x.to(device), k.to(device))
y = y @ torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
print(json.dumps(y.flatten().tolist()))
"""


def check_onnxruntime(facts: Facts) -> Findings:
    """A real session computes; get_available_providers() lists CUDA even where it cannot work."""
    device = "CUDAExecutionProvider" if facts.on_gpu else "CPUExecutionProvider"
    yield compute(facts, "onnxruntime", ONNXRUNTIME_SCRIPT, device, MODEL)


def check_torch(facts: Facts) -> Findings:
    """Real kernels compute."""
    yield compute(facts, "torch", TORCH_SCRIPT, "cuda" if facts.on_gpu else "cpu")


def compute(facts: Facts, framework: str, script: str, device: str, *more: str) -> Finding:
    """Run `script` on `device` and compare what it prints with RESULT."""
    if framework not in facts.frameworks:
        return skipped(f"not part of the environment {facts.environment}")
    if not package(framework):
        return skipped("not installed (see packages)")
    if facts.on_gpu and not gpu_devices() and not query_gpus():
        return skipped("there is no GPU (see gpu)")
    printed, error = python(script, device, *more, seconds=300)
    if error:
        return problem(
            f"{framework} cannot compute on {device}: {in_short(error)}",
            "ONNX Runtime falls back to the CPU without an error; torch stops"
            if facts.on_gpu
            else "no script that needs it can work",
            "first what the other checks ask for, then: docker compose build --no-cache",
        )
    got = json.loads(printed.splitlines()[-1])
    if not all(abs(a - b) < 0.5 for a, b in zip(got, RESULT, strict=True)):  # 0.5: TF32 may round
        return problem(
            f"{framework} computes {got} on {device}, and {RESULT} is right",
            "no result of this machine can be trusted",
            f"another GPU: GPU_IDS in .env; on the host: a newer driver; {WITHOUT_GPU}",
        )
    return ok(f"a convolution and a matrix product on {device} are right")


def check_shared_memory(facts: Facts) -> Findings:
    """/dev/shm is large enough for the workers of a training loader."""
    need, there = facts.shared_memory_mib, os.statvfs(SHARED_MEMORY)
    mib = there.f_frsize * there.f_blocks // 2**20
    if need and mib < need:
        yield problem(
            f"{SHARED_MEMORY} has {mib} MiB, a training loader needs {need}",
            "its workers pass batches on there, and die of a bus error when it is full",
            f"shm_size: {need}m below `app:` in compose.yaml (docker run: --shm-size {need}m)",
        )
    else:
        yield ok(f"{mib} MiB") if need else skipped("this environment has no training loader")


def check_user(facts: Facts) -> Findings:
    """You have a name and a HOME: torch and Ray ask for the name while they are imported."""
    fix = "docker compose run --rm app; with docker run, keep the image's entrypoint"
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        yield problem(f"uid {os.geteuid()} has no name", "torch and Ray cannot be imported", fix)
        return
    if os.environ.get("HOME"):
        yield ok(f"{name} ({os.geteuid()}:{os.getegid()})")
    else:
        yield problem("HOME is not set", "packages keep settings and weights there", fix)


def check_folders(facts: Facts) -> Findings:
    """/code, HOME, /cache and the environment can be written: each one is tried."""
    ids = [f"{name}={os.environ[name]}" for name in ("USER_ID", "GROUP_ID") if os.environ.get(name)]
    whose = f"; with {' and '.join(ids)} you do not own it" if ids else ""
    folders = [
        (
            CODE,
            f"results of your scripts belong there{whose}",
            "leave USER_ID and GROUP_ID in .env empty: the folder's owner is taken; else, on the "
            "host, look at: ls -ld .",
        ),
        (
            CACHE,
            "downloaded weights are kept there",
            ("leave USER_ID and GROUP_ID in .env empty, or: " if ids else "")
            + "a folder of yours as CACHE_DIR in .env; for .cache, on the host: "
            "sudo chown $(id -u):$(id -g) .cache",
        ),
        (
            Path(sysconfig.get_path("purelib")),
            "packages that save beside themselves (checkpoints) stop",
            "docker compose run --rm app, or docker run --user UID:0 (group 0 may write); "
            "else: docker compose build --no-cache",
        ),
    ]
    if home := os.environ.get("HOME"):
        fix = "docker compose run --rm app finds a HOME for you; else docker run -e HOME=/tmp"
        folders.append((Path(home), "packages keep settings and weights there", fix))
    fine = []
    for folder, why, fix in folders:
        if reason := not_writable(folder):
            if reason == READ_ONLY:
                fix = f"mount something writable at {folder}, or start without read_only and :ro"
            elif reason in FULL:
                fix = f"make room on the disk that {folder} lies on: df -h"
            yield problem(f"{folder} cannot be written: {reason}", why, fix)
        else:
            fine.append(str(folder))
    yield ok(f"{', '.join(fine) or 'none'} can be written")


# ---------------------------------------------------------------- how they find out


def numbers(version: str) -> tuple[int, ...]:
    """Return what can be compared: (580, 65, 6) for "580.65.06"."""
    return tuple(map(int, re.findall(r"\d+", version)))


def run(command: list[str], seconds: int = 60) -> subprocess.CompletedProcess[str]:
    none, environment = subprocess.DEVNULL, {**os.environ, "LC_ALL": "C.UTF-8"}
    captured = {"capture_output": True, "text": True, "errors": "replace"}
    return subprocess.run(command, stdin=none, env=environment, timeout=seconds, **captured)


def python(script: str, *arguments: str, seconds: int = 120) -> tuple[str, str]:
    """Run `script` in a process of its own; return what it prints and, if it fails, its errors."""
    try:
        done = run([*PYTHON, "-c", script, *arguments], seconds)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {seconds} s"
    if done.returncode < 0:
        return done.stdout, f"killed by {signal.Signals(-done.returncode).name}"
    return done.stdout, (done.stderr.strip() or "no reason given") if done.returncode else ""


def in_short(error: str) -> str:
    """Return the line that matters of a traceback, or of ONNX Runtime's log."""
    error = re.sub(r"\x1b\[[\d;]*m", "", error)
    library = re.search(r"with error: (.+)", error)
    line = library[1] if library else error.strip().splitlines()[-1]
    return line.split(" ; ")[0].split("void] ")[-1][:300]


def version_of(name: str) -> str:
    """Return the version of an installed package, "" if it is not."""
    its = next(iter(importlib.metadata.distributions(name=name)), None)
    return its.version if its else ""


def distribution_of(framework: str, facts: Facts) -> str:
    return "onnxruntime-gpu" if framework == "onnxruntime" and facts.on_gpu else framework


def verified(name: str, facts: Facts) -> str:
    """Say which version was verified if another one is installed; that alone is no problem."""
    version = facts.frameworks.get(name.removesuffix("-gpu"), {}).get("version")
    same = not version or version_of(name).split("+")[0] == version
    return "" if same else f" ({version} was verified)"


def who_asks(name: str) -> str:
    """Say which installed packages require `name`; a build that failed leaves no image to ask."""
    asks = re.compile(rf"{re.escape(name)}(?![\w.-])", re.IGNORECASE)
    askers = [
        distribution.metadata["Name"]
        for distribution in importlib.metadata.distributions()
        if any(map(asks.match, distribution.requires or []))
    ]
    return f"{name} is asked for by {', '.join(sorted(set(askers))) or 'pyproject.toml itself'}"


def wanted(framework: str, facts: Facts) -> str:
    """Return what pyproject.toml should ask for."""
    version, name = facts.frameworks[framework]["version"], distribution_of(framework, facts)
    extras = "[cuda,cudnn]" if name == "onnxruntime-gpu" and facts.cuda_from == "wheels" else ""
    if version:
        return f"{name}{extras}=={version}"
    return f"no {name} (NVIDIA's image brings it)" if facts.on_gpu else name


def all_wanted(facts: Facts) -> str:
    return ", ".join(wanted(framework, facts) for framework in facts.frameworks)


def origin(facts: Facts, library: str) -> str:
    """Return what to type to get `library` from where this environment has its CUDA."""
    if not CUDA_LIBRARY.match(library):
        return "its package into docker/apt-packages.txt; docker compose build"
    return {
        "wheels": f"it comes with {all_wanted(facts)} in pyproject.toml; {REBUILD}",
        "ngc": f"it comes with NVIDIA's PyTorch image; {OWN_IMAGE}",
        "image": f"it comes with NVIDIA's -cudnn-runtime- images; {OWN_IMAGE}",
    }[facts.cuda_from]


def package(name: str) -> Path | None:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def cuda_of(framework: str) -> str:
    """Return the CUDA version that a framework was built for, "" for a build without."""
    file, name = {
        "onnxruntime": ("capi/build_and_package_info.py", "cuda_version"),
        "torch": ("version.py", "cuda"),
    }[framework]
    file = package(framework) / file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if said := re.search(rf"^{name}\b[^=\n]*=\s*['\"]([\d.]+)", text, re.MULTILINE):
        return said[1]
    # ONNX Runtime before 1.21 does not say it, but what it is linked with does.
    libraries = " ".join(key for answer in linked(framework) for key in answer)
    cublas = re.search(r"libcublas\.so\.(\d+)", libraries)
    return cublas[1] if cublas else ""


def linked(framework: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return where the CUDA libraries lie that `framework` is linked with, and what is wrong."""
    found, errors = {}, {}
    folder = package(framework)
    for library in [folder / code for code in GPU_CODE[framework]] if folder else []:
        if not library.is_file():
            continue
        answer = run(["ldd", str(library)])
        if answer.returncode:
            errors[library.name] = in_short(answer.stderr or answer.stdout)
        for name, path in re.findall(r"(\S+) => (not found|/\S+)", answer.stdout):
            if DRIVER_LIBRARY.fullmatch(name):
                continue
            if path == "not found":
                errors[name] = f"{name}: cannot open shared object file"
            elif CUDA_LIBRARY.match(name):
                found[name] = os.path.normpath(path)
    return found, errors


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
    print(json.dumps([path, error]), flush=True)
"""


def opened(libraries: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Open each library; return where the loader found them, and what is wrong."""
    libraries = list(libraries)
    printed, crash = python(OPEN_SCRIPT, *libraries) if libraries else ("", "")
    answers = [json.loads(line) for line in printed.splitlines()]
    if crash:
        answers.append(["", in_short(crash)])
    found, errors = {}, {}
    for library, (path, error) in zip(libraries, answers, strict=False):
        if DRIVER_LIBRARY.fullmatch(missing_library(error)):  # a build has no driver: it is there
            path, error = library, ""
        (errors if error else found)[Path(library).name] = error or path
    return found, errors


def missing_library(error: str) -> str:
    """Return the name in the loader's "NAME: cannot open shared object file", else nothing."""
    name = re.match(r"(\S+): cannot open shared object file", error)
    return Path(name[1]).name if name else ""


def cudnn_parts(cudnn: Path, facts: Facts) -> list[str]:
    """Return the parts that lie beside cuDNN: those of every release, then those of this one."""
    parts = [cudnn.with_name(f"libcudnn_{part}.so.{facts.cudnn}") for part in CUDNN_PARTS]
    there = sorted(cudnn.parent.glob(f"libcudnn_*.so.{facts.cudnn}"))
    return list(map(str, dict.fromkeys(parts + there)))


def cudnn_copies(name: str) -> dict[Path, Path]:
    """Return every cuDNN that a process may meet: the real file, and the first way to it."""
    folders = [Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    folders += [lib for site in sites() for lib in sorted(site.glob("nvidia/*/lib"))]
    paths = [folder / name for folder in folders]
    ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    cache = run([ldconfig, "-p"]).stdout if ldconfig else ""
    paths += map(Path, re.findall(rf"\s{re.escape(name)} .*=> (/\S+)", cache))
    return {path.resolve(): path for path in reversed(paths) if path.is_file()}


def inside(path: object, folder: object) -> bool:
    return Path(str(path)).resolve().is_relative_to(Path(str(folder)).resolve())


def sites() -> list[Path]:
    """Return every site-packages folder: the environment's and the image's."""
    return [Path(entry) for entry in sys.path if entry.endswith("-packages")]


def shorter(path: Path) -> str:
    """Return `path` as seen from the site-packages folder that it is in."""
    return next((str(path.relative_to(s)) for s in sites() if path.is_relative_to(s)), str(path))


def gpu_devices() -> list[Path]:
    """Return the device of each GPU; under WSL 2 one device stands for all."""
    return [*sorted(DEVICES.glob("nvidia[0-9]*")), *DEVICES.glob("dxg")]


def query_gpus() -> list[list[str]]:
    """Return compute capability and name of each GPU, as nvidia-smi knows them."""
    gpus = [line.split(", ", 1) for line in ask_driver("compute_cap,name")]
    return [gpu for gpu in gpus if len(gpu) == 2 and numbers(gpu[0])]


def ask_driver(fields: str) -> list[str]:
    """Return what nvidia-smi says, one line a GPU; old ones do not know every field."""
    try:
        answer = run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"])
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if answer.returncode else answer.stdout.splitlines()


def driver_speaks(cuda: int) -> bool:
    """Return whether an old driver has this CUDA all the same, by forward compatibility."""
    script = (
        "import ctypes; version = ctypes.c_int(); "
        "ctypes.CDLL('libcuda.so.1').cuDriverGetVersion(ctypes.byref(version)); "
        "print(version.value // 1000)"
    )
    printed, error = python(script)
    return not error and int(printed) >= cuda


def driver_version() -> str:
    said = ask_driver("driver_version")
    if said and numbers(said[0]):
        return said[0].strip()
    text = KERNEL_DRIVER.read_text(encoding="utf-8") if KERNEL_DRIVER.is_file() else ""
    version = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", text)
    return version[0] if version else ""


def serves(architecture: str, capability: str) -> bool:
    """8.6 serves 8.6 to 8.9; 9.0a serves 9.0 alone; 12.0+PTX serves 12.0 and everything newer."""
    built, gpu = numbers(architecture), numbers(capability)
    if architecture.endswith("a"):
        return gpu == built
    return gpu >= built and (architecture.endswith("+PTX") or gpu[0] == built[0])


READ_ONLY = "it is on a read-only file system"
FULL = tuple(os.strerror(code).lower() for code in (errno.ENOSPC, errno.EDQUOT))


def not_writable(folder: Path) -> str:
    """Return why no file can be made in `folder`, "" if one can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
    except OSError as error:
        if error.errno == errno.EROFS:
            return READ_ONLY
        if error.errno not in (errno.EACCES, errno.EPERM):
            return str(error.strerror).lower()
        its = folder.stat()
        return (
            f"it belongs to {its.st_uid}:{its.st_gid} ({stat.filemode(its.st_mode)}), "
            f"you are {os.geteuid()}:{os.getegid()}"
        )
    return ""


# ---------------------------------------------------------------- the list, and the report


@dataclass
class Check:
    run: Callable[[Facts], Findings]
    gpu: bool = False  # not needed with ACCELERATOR=cpu
    build: bool = True  # can be known while the image is built

    @property
    def name(self) -> str:
        return self.run.__name__.removeprefix("check_").replace("_", "-")


CHECKS = [
    Check(check_python),
    Check(check_packages),
    Check(check_cuda_major, gpu=True),
    Check(check_libraries, gpu=True),
    Check(check_cudnn, gpu=True),
    Check(check_imports),
    Check(check_gpu, gpu=True, build=False),
    Check(check_driver, gpu=True, build=False),
    Check(check_kernels, gpu=True, build=False),
    Check(check_onnxruntime, build=False),
    Check(check_torch, build=False),
    Check(check_shared_memory, build=False),
    Check(check_user, build=False),
    Check(check_folders, build=False),
]


def examine(facts: Facts, build: bool) -> Findings:
    """Run the checks; one that fails itself is a problem, and the others go on."""
    for check in CHECKS:
        if check.build or not build:
            findings = []
            try:
                if check.gpu and not facts.on_gpu:
                    findings.append(skipped("not needed: ACCELERATOR=cpu"))
                else:
                    findings.extend(check.run(facts))
            except Exception as error:
                crash = f"the check itself failed: {type(error).__name__}: {error}"
                why = "something is broken in a way that the doctor does not know"
                findings.append(problem(crash, why, "docker compose build --no-cache"))
            yield from (replace(finding, check=check.name) for finding in findings)


def table(facts: Facts, findings: list[Finding]) -> Iterator[str]:
    """Yield what a person reads: a line for each check, then each problem."""
    yield f"doctor: {facts.environment}, {facts.line}, ACCELERATOR={facts.accelerator}"
    for name in dict.fromkeys(finding.check for finding in findings):
        its = [finding for finding in findings if finding.check == name]
        worst = max((f.status for f in its), key=("ok", "skipped", "problem").index)
        first, *others = [finding.found for finding in its if finding.status == worst]
        more = f" (and {len(others)} more)" if others else ""
        yield f"{'PROBLEM' if worst == 'problem' else worst:8} {name:14} {first}{more}"
    for finding in findings:
        if finding.status == "problem":
            yield f"\n{finding.check}: {finding.found}\n  why: {finding.why}\n  fix: {finding.fix}"


def read_facts() -> Facts:
    """Raises ValueError where environment.json or ACCELERATOR makes no sense."""
    accelerator = os.environ.get("ACCELERATOR") or "nvidia"
    if accelerator not in ("nvidia", "cpu"):
        raise ValueError(f"ACCELERATOR={accelerator} is unknown: nvidia or cpu")
    try:
        facts = json.loads(ENVIRONMENT.read_text(encoding="utf-8"))
        return Facts(**facts, accelerator=accelerator)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).removeprefix("Facts.__init__() ").replace("positional argument", "key")
        raise ValueError(
            f"{ENVIRONMENT} cannot be used: {reason}. It is the project's docker/environment.json: "
            "correct that; docker compose build"
        ) from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="doctor", description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="only what needs no GPU")
    parser.add_argument("--json", action="store_true", help="for programs")
    chosen = parser.parse_args(arguments)
    try:
        facts = read_facts()
        findings = list(examine(facts, chosen.build))
    except ValueError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print("\n".join(table(facts, findings)))
    return int(any(finding.status == "problem" for finding in findings))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # doctor | head
    sys.exit(main())
