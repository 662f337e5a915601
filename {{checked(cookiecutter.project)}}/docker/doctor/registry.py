"""List the checks in the order in which they run, those of docker/checks.py last."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType

from . import (
    computing,
    cuda_builds,
    folders,
    gpu,
    libraries,
    limits,
    missing_libraries,
    packages,
    requirements,
    torch_builds,
)
from .facts import Facts
from .findings import Finding, Findings, ok, problem, skipped

# Beside this folder, in the project and in the image, where root owns it.
OWNERS_CHECKS = Path(__file__).resolve().parent.parent / "checks.py"
CORRECT = "correct docker/checks.py; docker compose build"


@dataclass
class Check:
    """A check, and when it runs."""

    run: Callable[[Facts], Findings]
    gpu: bool = False  # not needed with ACCELERATOR=cpu
    build: bool = True  # runs in the build, too
    quick: bool = False  # only reads files, so it runs after each change of the packages
    repair: str = "docker compose build --no-cache"  # the advice if the check itself fails

    @property
    def name(self) -> str:
        """Return cuda-major for check_cuda_major."""
        return self.run.__name__.removeprefix("check_").replace("_", "-")


CHECKS = [
    Check(packages.check_python),
    Check(packages.check_packages, quick=True),
    Check(packages.check_cuda_major, gpu=True, quick=True),
    Check(libraries.check_libraries, gpu=True),
    Check(libraries.check_cudnn, gpu=True),
    Check(cuda_builds.check_cuda_builds, quick=True),
    Check(torch_builds.check_torch_builds, quick=True),
    Check(missing_libraries.check_shared_objects, quick=True),
    Check(requirements.check_requirements, quick=True),
    Check(packages.check_imports),
    Check(gpu.check_gpu, gpu=True, build=False),
    Check(gpu.check_driver, gpu=True, build=False),
    Check(gpu.check_kernels, gpu=True, build=False),
    Check(computing.check_onnxruntime, build=False),
    Check(computing.check_torch, build=False),
    Check(folders.check_shared_memory, build=False),
    Check(limits.check_limits, build=False),
    Check(folders.check_user, build=False),
    Check(folders.check_folders, build=False),
]


def examine(facts: Facts, quick: bool = False) -> Findings:
    """Run every check, or the quick ones; a check that crashes is a problem, and the others run."""
    for check in CHECKS if quick else [*CHECKS, *owners_checks()]:
        if (check.quick or not quick) and (check.build or not facts.building):
            yield from run(check, facts)


def run(check: Check, facts: Facts) -> list[Finding]:
    """Return the findings of one check, each with the check's name."""
    if check.gpu and not facts.on_gpu:
        return [replace(skipped("not needed: ACCELERATOR=cpu"), check=check.name)]
    findings = []
    try:
        for finding in check.run(facts):
            findings.append(replace(finding, check=check.name))
    except (Exception, SystemExit) as error:
        crash = f"the check itself failed: {type(error).__name__}: {error}"
        why = "its result is unknown"
        findings.append(replace(problem(crash, why, check.repair), check=check.name))
    return findings or [replace(ok("nothing to report"), check=check.name)]


def owners_checks() -> list[Check]:
    """Return the functions check_NAME of docker/checks.py, none if there is no such file.

    If the file cannot be loaded, return one check that reports it.
    """
    if not OWNERS_CHECKS.is_file():
        return []
    spec = importlib.util.spec_from_file_location("checks", OWNERS_CHECKS)
    module = importlib.util.module_from_spec(spec)
    sys.modules["checks"] = module  # dataclasses need it there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = f"docker/checks.py cannot be used: {type(error).__name__}: {error}"

        def check_checks(facts: Facts) -> Findings:
            yield problem(reason, "its checks are not run", CORRECT)

        return [Check(check_checks)]
    return [
        Check(value, repair=CORRECT)
        for name, value in vars(module).items()
        if name.startswith("check_")
        and isinstance(value, FunctionType)
        and value.__module__ == module.__name__  # not an imported one, such as check_output
    ]
