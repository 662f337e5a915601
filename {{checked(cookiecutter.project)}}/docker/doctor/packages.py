"""Check that the Python packages are the right ones, for the right CUDA, and importable."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from pathlib import Path

from .facts import OWN_IMAGE, REBUILD, VENV, WITHOUT_GPU, Facts
from .findings import Finding, Findings, ok, problem, remark, skipped
from .installed import (
    all_wanted,
    distribution_of,
    inside,
    package,
    verified,
    version_of,
    version_tuple,
    wanted,
)
from .libraries import linked, missing_library
from .processes import AGAIN, NO_ANSWER, error_summary, python
from .requirement import required_by
from .shared_objects import scan
from .system_packages import advice

ONNXRUNTIMES = ("onnxruntime-gpu", "onnxruntime")
OPENCVS = tuple(
    f"opencv-{kind}python{end}" for kind in ("", "contrib-") for end in ("-headless", "")
)
OPENCVS += ("opencv",)  # of NVIDIA's PyTorch image


def check_python(facts: Facts) -> Findings:
    """Check that Python is new enough, and belongs to the environment."""
    version = ".".join(map(str, sys.version_info[:3]))
    if version_tuple(version) < version_tuple(facts.minimum_python):
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
    """Check for packages that are missing, doubled, or hide those of NVIDIA's image."""
    runtimes, opencvs = ([n for n in group if version_of(n)] for group in (ONNXRUNTIMES, OPENCVS))
    right = distribution_of("onnxruntime", facts)
    for framework in facts.frameworks:
        if not (version_of(framework) or (framework == "onnxruntime" and runtimes)):
            yield problem(
                f"{distribution_of(framework, facts)} is not installed",
                f"the environment {facts.environment} is made for it",
                f"pyproject.toml must have {wanted(framework, facts)}; {REBUILD}. If you do not "
                f"need {framework}: remove it from docker/environment.json, then build",
            )
    absent = [
        name for name in facts.packages if not (version_of(name) or (name in OPENCVS and opencvs))
    ]
    if absent:
        yield remark(
            f"not installed, but of the example: {', '.join(absent)}; if you do not need them, "
            "remove them from docker/environment.json"
        )
    if len(runtimes) > 1:
        yield two_packages(runtimes, right)
    elif runtimes and runtimes != [right]:
        yield problem(
            f"{runtimes[0]} is installed, but ACCELERATOR={facts.accelerator} needs {right}",
            "one is built for the CPU, the other for CUDA",
            f"write {right} into the extra `{facts.accelerator}` of pyproject.toml; {REBUILD}",
        )
    if len(opencvs) > 1:
        yield two_packages(opencvs, "opencv" if "opencv" in opencvs else opencvs[0])
    torch = next(iter(importlib.metadata.distributions(name="torch")), None)
    if torch and facts.cuda_from == "ngc" and facts.on_gpu and inside(torch.locate_file(""), VENV):
        yield problem(
            f"torch {version_of('torch')} from PyPI hides the one of NVIDIA's image",
            "it brings its own CUDA libraries, which conflict with the image's",
            f"{required_by('torch')}; without it: {REBUILD}",
        )
    names = dict.fromkeys(
        [*(distribution_of(f, facts) for f in facts.frameworks), *runtimes, *opencvs]
    )
    summary = [
        f"{name} {version_of(name)}{verified(name, facts)}" for name in names if version_of(name)
    ]
    yield ok(", ".join(summary) or "none to compare")


def two_packages(names: list[str], right: str) -> Finding:
    """Return the problem of packages that write the same folder."""
    wrong = next(name for name in names if name != right)
    return problem(
        f"{' and '.join(f'{name} {version_of(name)}' for name in names)} are installed together",
        "they write to the same folder, so one has overwritten files of the other",
        f"keep {right}; {required_by(wrong)}; without it: {REBUILD}",
    )


def check_cuda_major(facts: Facts) -> Findings:
    """Check that every framework was built for the CUDA of this environment."""
    installed = [name for name in facts.frameworks if package(name)]
    # the check packages reports a wrong package
    built = {name: cuda_of(name) for name in installed if version_of(distribution_of(name, facts))}
    summary = [
        f"{name} {version_of(distribution_of(name, facts))} is "
        + (f"for CUDA {cuda}" if cuda else "a build without CUDA")
        for name, cuda in built.items()
    ]
    if any(version_tuple(cuda)[:1] != (facts.cuda,) for cuda in built.values()):
        yield problem(
            f"{', '.join(summary)}; this environment is CUDA {facts.cuda}",
            "a framework does not work with another major version of CUDA",
            what_fits(facts),
        )
    elif summary:
        yield ok(", ".join(summary))
    else:
        yield skipped("no framework is installed (see packages)")


def what_fits(facts: Facts) -> str:
    """Return how to get builds with CUDA; another line if this processor has none."""
    if facts.line in facts.lines_with_cuda.get(platform.machine(), [facts.line]):
        return f"pyproject.toml must have {all_wanted(facts)}; {REBUILD}"
    return "; ".join([*facts.other_project(), WITHOUT_GPU])


def cuda_of(framework: str) -> str:
    """Return the CUDA version that a framework was built for, "" for a build without."""
    file, name = {
        "onnxruntime": ("capi/build_and_package_info.py", "cuda_version"),
        "torch": ("version.py", "cuda"),
    }[framework]
    file = package(framework) / file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if version := re.search(rf"^{name}\b[^=\n]*=\s*['\"]([\d.]+)", text, re.MULTILINE):
        return version[1]
    # ONNX Runtime before 1.21 does not say it, but its linked libraries do.
    libraries = " ".join(key for answer in linked(framework) for key in answer)
    cublas = re.search(r"libcublas\.so\.(\d+)", libraries)
    return cublas[1] if cublas else ""


def check_imports(facts: Facts) -> Findings:
    """Check that the frameworks, NumPy and OpenCV can be imported."""
    modules = [name for name in facts.frameworks if package(name)]
    modules += ["numpy"] if version_of("numpy") else []
    modules += ["cv2"] if any(map(version_of, OPENCVS)) else []
    errors = {module: python(f"import {module}")[1] for module in modules}
    for module, error in errors.items():
        if error:
            if library := missing_library(error_summary(error)):
                fix = advice(scan(facts).missing_beside(library))
            else:
                fix = AGAIN if NO_ANSWER in error else "docker compose build --no-cache"
            yield problem(
                f"import {module}: {error_summary(error)}", "scripts that import it fail", fix
            )
    yield ok(", ".join(module for module in modules if not errors[module]) or "none")
