"""Check each fact of a line against the package index; `questions` lists the checks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import partial
from typing import Any

from packaging.version import Version

from capy_template.matrix import DISTRIBUTIONS, MACHINES, extras, source_of_cuda
from compatibility import processors
from compatibility.index import Index, Outdated, Target
from compatibility.requirements import Requirement, parse_requirement

# The packages of a pinned fact, for a GPU and for the CPU.
PINNED = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime"), "torch": ("torch",)}
# Packages that belong to a version of PyTorch.
COMPANIONS = ("torchvision", "torchaudio")
OLDEST_PYTHON = 8  # 3.8: older ones are out of use
METADATA = r"[^/]+\.dist-info/METADATA"
TOGETHER = "full, together"  # a fact about all packages


@dataclass(frozen=True)
class Line:
    """A line of the matrix, and the package index."""

    name: str
    matrix: dict[str, Any]
    index: Index

    def value(self, fact: str) -> Any:
        """Return the matrix's value of a fact."""
        return self.matrix["lines"][self.name][fact]["value"]

    @property
    def values(self) -> dict[str, Any]:
        """Return all facts without their sources."""
        facts = self.matrix["lines"][self.name].items()
        return {name: fact["value"] for name, fact in facts if isinstance(fact, dict)}

    def others(self, use: dict[str, Any]) -> list[str]:
        """Return the requirements of an environment without the frameworks."""
        names = [name for name in use["packages"] if name in self.ranges]
        return [DISTRIBUTIONS.get(name, name) + self.value(name) for name in names]

    def shown(self, fact: str) -> str:
        """Return the matrix's value as text."""
        if fact == TOGETHER:
            return "one cuDNN"
        if fact in self.matrix["lines"][self.name]:
            return str(self.value(fact))
        return processors.shown(self, fact)

    def target(self, python: str = "", machine: str = MACHINES[0]) -> Target:
        """Return the target of a Python, by default the line's own, on its Ubuntu."""
        return Target(python or self.value("python"), self.value("ubuntu"), machine)

    def code(self, framework: str, machine: str) -> list[str]:
        """Return the GPU architectures of a framework on a processor."""
        return self.value(f"{framework}_architectures")[machine]

    @property
    def ranges(self) -> list[str]:
        """Return the packages with a range of versions, by their names in the matrix."""
        packages = {name for use in self.matrix["environments"].values() for name in use["packages"]}
        return sorted(packages - set(PINNED) - set(COMPANIONS))

    @property
    def distributions(self) -> list[str]:
        """Return the names on the index of all packages that are checked."""
        pinned = [name for names in PINNED.values() for name in names]
        return [*pinned, *COMPANIONS, *(DISTRIBUTIONS.get(name, name) for name in self.ranges)]

    def text(self, name: str, fact: str, pattern: str, machine: str = MACHINES[0]) -> str:
        """Return the text of a file in the wheel of the pinned version of a package."""
        wheel = self.index.wheel(name, self.value(fact), self.target(machine=machine))
        return self.index.read(wheel, pattern)

    def needs(self, name: str, fact: str) -> list[Requirement]:
        """Return the requirements of the pinned version of a package."""
        headers = HeaderParser().parsestr(self.text(name, fact, METADATA))
        return [parse_requirement(text) for text in headers.get_all("Requires-Dist", [])]


def questions(line: Line) -> dict[str, Callable[[Line], None]]:
    """Return the check of each fact. A check raises Outdated if the fact is outdated, or CannotCheck."""
    return {
        **{fact: partial(pinned, fact=fact) for fact in PINNED},
        **{fact: partial(companion, fact=fact) for fact in COMPANIONS},
        **{fact: partial(available, fact=fact) for fact in line.ranges},
        "lowest_python": lowest_python,
        "highest_python": highest_python,
        "cuda": cuda,
        "cudnn": cudnn,
        "onnxruntime_cuda": onnxruntime_cuda,
        "torch_cuda": torch_cuda,
        "torch_cudnn": torch_cudnn,
        TOGETHER: together,
        **processors.questions(line),
    }


def pinned(line: Line, fact: str) -> None:
    """Check that the version has a wheel for the line's Python, and for a GPU if it has code for one."""
    for machine, name in itertools.product(MACHINES, PINNED[fact]):
        try:
            line.index.wheel(name, line.value(fact), line.target(machine=machine))
        except Outdated:
            if line.code(fact, machine) or not name.endswith("-gpu"):
                raise


def companion(line: Line, fact: str) -> None:
    """Check that the version has a wheel for the line's Python and requires the line's PyTorch."""
    for machine in MACHINES:
        line.index.wheel(fact, line.value(fact), line.target(machine=machine))
    for need in line.needs(fact, fact):
        if need.name == "torch" and not need.specifier.contains(line.value("torch"), prereleases=True):
            raise Outdated(f"{fact} {line.value(fact)} requires {need}")


def available(line: Line, fact: str) -> None:
    """Check that a version in the range has a wheel for the line's Python."""
    for machine in MACHINES:
        line.index.newest(DISTRIBUTIONS.get(fact, fact), line.value(fact), line.target(machine=machine))


def lowest_python(line: Line) -> None:
    """Check that this is the lowest Python for which every package has a wheel."""
    newest = int(line.value("python").split(".")[1])
    for minor in range(OLDEST_PYTHON, newest + 1):
        if not missing_wheels(line, f"3.{minor}"):
            found = f"3.{minor}"
            break
    else:
        raise Outdated(f"not even Python {line.value('python')} has every wheel")
    if found != line.value("lowest_python"):
        missing = missing_wheels(line, line.value("lowest_python"))
        reason = missing[0] if missing else f"every package has a wheel for {found}"
        raise Outdated(f"it is {found} ({reason})")


def highest_python(line: Line) -> None:
    """Check that this is the highest Python for which every package has a wheel."""
    written = line.value("highest_python")
    if missing := missing_wheels(line, written):
        raise Outdated(f"there is no longer every wheel for {written}: {missing[0]}")
    following = f"3.{int(written.split('.')[1]) + 1}"
    if not missing_wheels(line, following):
        raise Outdated(f"every package has a wheel for {following}")


def missing_wheels(line: Line, python: str) -> list[str]:
    """Return the packages without a wheel for a Python. Raises CannotCheck."""
    missing = []
    asked = [
        (machine, partial(line.index.wheel, name, line.value(fact)))
        for machine, fact in itertools.product(MACHINES, PINNED)
        for name in PINNED[fact]
        if line.code(fact, machine) or not name.endswith("-gpu")
    ]
    for machine in MACHINES:
        asked += [(machine, partial(line.index.wheel, "torchvision", line.value("torchvision")))]
        asked += [
            (machine, partial(line.index.newest, DISTRIBUTIONS.get(fact, fact), line.value(fact)))
            for fact in line.ranges
        ]
    for machine, ask in asked:
        try:
            ask(line.target(python, machine))
        except Outdated as change:
            missing.append(str(change))
    return missing


def cuda(line: Line) -> None:
    """Check that ONNX Runtime was built for the line's CUDA, and its extra `cuda` requires that CUDA."""
    built = line.text("onnxruntime-gpu", "onnxruntime", r"onnxruntime/capi/build_and_package_info\.py")
    version = re.search(r"^cuda_version *= *'([\d.]+)'", built, re.MULTILINE)
    if not version or Version(version[1]).major != line.value("cuda"):
        raise Outdated(f"onnxruntime-gpu was built for CUDA {version[1] if version else '?'}")
    refuse_other_majors(line, "cuda", r"nvidia-cuda-[a-z]+", line.value("cuda"))


def cudnn(line: Line) -> None:
    """Check that ONNX Runtime's extra `cudnn` requires the line's cuDNN for the line's CUDA."""
    refuse_other_majors(line, "cudnn", r"nvidia-cudnn", line.value("cudnn"))


def onnxruntime_cuda(line: Line) -> None:
    """Check that ONNX Runtime's extras `cuda` and `cudnn` require these packages."""
    needs = [need for need in line.needs("onnxruntime-gpu", "onnxruntime") if need.marker]
    extras = [need for need in needs for extra in ("cuda", "cudnn") if need.marker.evaluate({"extra": extra})]
    found = [f"{need.name}{need.specifier}" for need in extras]
    if found != line.value("onnxruntime_cuda"):
        raise Outdated(f"its extras require {', '.join(found)}")


def refuse_other_majors(line: Line, extra: str, pattern: str, major: int) -> None:
    """Check the majors of the packages in an extra of onnxruntime-gpu, and the CUDA in their names.

    Raises Outdated, also if the extra has none of them.
    """
    needs = line.needs("onnxruntime-gpu", "onnxruntime")
    named = [need for need in needs if need.marker and need.marker.evaluate({"extra": extra})]
    found = [(need, re.fullmatch(rf"{pattern}(?:-cu(\d+))?", need.name)) for need in named]
    found = [(need, match) for need, match in found if match]
    if not found:
        raise Outdated(f"onnxruntime-gpu[{extra}] requires no package like {pattern}")
    for need, match in found:
        if match[1] not in (None, str(line.value("cuda"))) or not requires_major(need, major):
            raise Outdated(f"onnxruntime-gpu[{extra}] requires {need.name}{need.specifier}")


def requires_major(need: Requirement, major: int) -> bool:
    """Return whether a requirement such as `~=13.0` is for that major version."""
    return {Version(part.version).major for part in need.specifier} == {major}


def torch_cuda(line: Line) -> None:
    """Check that PyTorch was built for this CUDA."""
    for machine in MACHINES:
        built = line.text("torch", "torch", r"torch/version\.py", machine)
        version = re.search(r"^cuda\b[^=\n]*= *'([\d.]+)'", built, re.MULTILINE)
        found = version[1] if version else "none"
        if found != (line.value("torch_cuda") if line.code("torch", machine) else "none"):
            raise Outdated(f"torch was built for CUDA {found}" + f" on {machine}" * (machine != MACHINES[0]))


def torch_cudnn(line: Line) -> None:
    """Check that PyTorch requires this cuDNN for the line's CUDA."""
    wanted = f"nvidia-cudnn-cu{line.value('cuda')}=={line.value('torch_cudnn')}"
    needs = line.needs("torch", "torch")
    found = [f"{need.name}{need.specifier}" for need in needs if need.name.startswith("nvidia-cudnn")]
    if found != [wanted]:
        raise Outdated(f"torch requires {' and '.join(found) or 'no cuDNN'}")


def together(line: Line) -> None:
    """Check that all packages can be installed together, with one cuDNN and no new major version.

    For each environment with ONNX Runtime and CUDA from the index; for the lowest, the highest and the line's
    Python, since `uv lock` resolves for all of them.
    """
    for environment, use in line.matrix["environments"].items():
        source = source_of_cuda(line.matrix, environment, line.name)
        if source == "wheels" and "onnxruntime" in use["packages"]:
            resolves(line, use)


def resolves(line: Line, use: dict[str, Any]) -> None:
    """Raise Outdated if the packages of an environment for a GPU cannot be installed together."""
    wanted = [*extras(use["packages"], "wheels", line.values)[0], *line.others(use)]
    for python in dict.fromkeys(line.value(fact) for fact in ("python", "lowest_python", "highest_python")):
        packages = line.index.resolve(wanted, line.target(python))
        cudnns = [package for package in packages if package.startswith("nvidia-cudnn")]
        if len(cudnns) != 1:
            raise Outdated(f"for Python {python}: {' and '.join(cudnns) or 'no cuDNN'}")
        refuse_new_majors(line, packages)


def refuse_new_majors(line: Line, packages: list[str]) -> None:
    """Raise Outdated if a range allows a major version newer than the range itself."""
    chosen = dict(package.split("==") for package in packages)
    for fact in line.ranges:
        name, lowest = DISTRIBUTIONS.get(fact, fact), re.search(r">=([\d.]+)", line.value(fact))
        if name in chosen and Version(chosen[name]).major > Version(lowest[1]).major:
            raise Outdated(
                f"a first build takes {name} {chosen[name]}, a new major version: try it, or exclude it"
            )
