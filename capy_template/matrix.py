"""Reads compatibility/matrix.yaml: which images and packages make the environment that two answers name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cookiecutter.exceptions import FailedHookException

# libyaml's, ten times as fast, where PyYAML came with it
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MATRIX = Path(__file__).resolve().parent.parent / "compatibility" / "matrix.yaml"
# The frameworks whose CUDA must agree; the other packages only have to be there.
FRAMEWORKS = ("onnxruntime", "torch")
# Each has a build for every accelerator, so it is pinned in the extras `nvidia` and `cpu`.
IN_EXTRAS = (*FRAMEWORKS, "torchvision")
OPENCVS = tuple(f"opencv-{kind}python{end}" for kind in ("", "contrib-") for end in ("-headless", ""))
# How a package of the matrix is called on the index, where that is not its name there.
DISTRIBUTIONS = {"opencv": "opencv-python-headless", "scikit_learn": "scikit-learn"}
CUFFT = "libcufft."
MACHINES = ("x86_64", "aarch64")  # processors, as platform.machine() calls them
SHARED_MEMORY_MIB = 1024  # below this, a loader with several workers stops sooner or later


class Unserved(ValueError):
    """No line serves this environment; the text says why, and what can be had instead."""


@dataclass(frozen=True)
class Stack:
    """What `environment` and `cuda` decide: everything that the generated files take from them."""

    environment: str
    line: str
    description: str
    example: str  # what script.py shows: edges, digits or export
    packages: tuple[str, ...]  # names of the matrix: numpy, torch, …
    cuda_from: str  # image: NVIDIA's cuDNN image; wheels: packages of the index; ngc: NVIDIA's PyTorch image
    nvidia_image: str
    cpu_image: str
    dependencies: tuple[str, ...]  # for every accelerator
    nvidia: tuple[str, ...]  # the extra for a GPU
    cpu: tuple[str, ...]  # the extra without one
    overrides: tuple[str, ...]  # what uv installs, whatever a package asks for
    exclusions: tuple[str, ...]  # what uv never installs, whatever a package asks for
    shm_size: str | None  # of /dev/shm, as Compose writes it
    download_gb: dict[str, float]  # of the first build, for a GPU and for the CPU
    lines_with_cuda: dict[
        str, tuple[str, ...]
    ]  # by processor: the lines that have this environment for a GPU
    facts: dict[str, Any]  # the line's facts without their sources
    sources: dict[str, dict[str, str]]  # of each fact: how it is known, text, url, date

    def has(self, package: str) -> bool:
        """Return whether the environment holds a package of the matrix."""
        return package in self.packages

    @property
    def machines(self) -> tuple[str, ...]:
        """Return the processors on which the line has this environment for a GPU."""
        return tuple(name for name in MACHINES if self.line in self.lines_with_cuda[name])

    @property
    def python_limit(self) -> str:
        """Return the first Python that the line has no wheels for."""
        return f"3.{int(self.facts['highest_python'].split('.')[1]) + 1}"

    def first_build(self, accelerator: str) -> str:
        """Return the size and the time of the first build, for a person who waits for it."""
        size = self.download_gb[accelerator]
        return f"{size:g} GB, about {first_build_minutes(size)} minutes at 100 Mbit/s"

    @property
    def doctor(self) -> dict[str, Any]:
        """Return what docker/doctor/ compares an environment with."""
        frameworks = {name: self._framework(name) for name in FRAMEWORKS if self.has(name)}
        return {
            "environment": self.environment,
            "line": self.line,
            "cuda": self.facts["cuda"],
            "cudnn": self.facts["cudnn"],
            "cuda_from": self.cuda_from,
            "minimum_driver": self.facts["minimum_driver"],
            "minimum_python": self.facts["lowest_python"],
            "shared_memory_mib": SHARED_MEMORY_MIB if self.shm_size else None,
            "packages": [DISTRIBUTIONS.get(name, name) for name in self.packages if name not in FRAMEWORKS],
            "frameworks": frameworks,
            "lines_with_cuda": {name: list(lines) for name, lines in self.lines_with_cuda.items()},
        }

    def _framework(self, name: str) -> dict[str, Any]:
        by_image = self.cuda_from == "ngc"  # NVIDIA decides, release by release
        lazy = self.facts.get(f"{name}_lazy_libraries", [])
        alone = self.cuda_from == "wheels" and not self.has("torch")
        return {
            "version": None if by_image else self.facts[name],
            "architectures": {} if by_image else self.facts[f"{name}_architectures"],
            "lazy_libraries": [item for item in lazy if not (alone and item.startswith(CUFFT))],
        }


def first_build_minutes(gigabytes: float) -> int:
    """Return about how long a first build takes at 100 Mbit/s: 80 s a GB, and the time to unpack it."""
    return math.ceil(1.4 * gigabytes + 1)


@cache
def load() -> dict[str, Any]:
    """Return matrix.yaml as data, which nobody changes: a generation asks for it a dozen times."""
    return yaml.load(MATRIX.read_text(encoding="utf-8"), Loader=LOADER)


def stack(environment: str, line: str) -> Stack:
    """Return what the answers `environment` and `cuda` stand for.

    Raises Unserved for a pair that cannot be had, KeyError for names that the matrix does not have.
    """
    matrix = load()
    if reason := unserved(matrix, environment, line):
        raise Unserved(f"environment={environment} cannot be had with cuda={line}: {reason}")
    use, entry = matrix["environments"][environment], matrix["lines"][line]
    found = {name: fact for name, fact in entry.items() if isinstance(fact, dict)}
    facts = {name: fact["value"] for name, fact in found.items()}
    cuda_from = source_of_cuda(matrix, environment, line)
    image = {"image": "cudnn_image", "wheels": "wheels_image", "ngc": "ngc_image"}[cuda_from]
    nvidia, cpu = extras(use["packages"], cuda_from, facts)
    return Stack(
        environment=environment,
        line=line,
        description=use["description"],
        example=use["example"],
        packages=tuple(use["packages"]),
        cuda_from=cuda_from,
        nvidia_image=facts[image],
        cpu_image=facts["cpu_image"],
        dependencies=tuple(
            DISTRIBUTIONS.get(name, name) + facts[name] for name in use["packages"] if name not in IN_EXTRAS
        ),
        nvidia=nvidia,
        cpu=cpu,
        overrides=overrides(use["packages"], cuda_from, facts),
        exclusions=tuple(name for name in OPENCVS if name != DISTRIBUTIONS["opencv"]),
        shm_size=use.get("shm_size"),
        download_gb={"nvidia": use["download_gb"][line], "cpu": use["download_gb"]["cpu"]},
        lines_with_cuda={machine: lines_with_cuda(matrix, environment, machine) for machine in MACHINES},
        facts=facts,
        sources={
            name: {**matrix["sources"][fact["source"]], "date": str(fact["date"])}
            for name, fact in found.items()
        },
    )


def chosen(answers: Mapping[str, str]) -> Stack:
    """Return the stack of the answers `environment` and `cuda`: the filter `stack`.

    Raises FailedHookException, which cookiecutter prints as one line, for a pair that cannot be had,
    and for a name that a replay file has from elsewhere.
    """
    try:
        return stack(answers["environment"], answers["cuda"])
    except KeyError as error:
        raise FailedHookException(
            f"{error} is no answer to `environment` or `cuda` of this template"
        ) from None
    except Unserved as error:
        raise FailedHookException(f"{error}. Nothing was written") from None


def extras(
    packages: list[str], cuda_from: str, facts: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the requirements of the extras `nvidia` and `cpu` for packages of the matrix."""
    nvidia, cpu = [], []
    for name in packages:
        if name in ("torch", "torchvision"):
            cpu.append(f"{name}=={facts[name]}")
            if cuda_from == "wheels":
                nvidia.append(f"{name}=={facts[name]}")
        if name == "onnxruntime":
            cpu.append(f"onnxruntime=={facts['onnxruntime']}")
            nvidia.append(onnxruntime_gpu(packages, cuda_from, facts) + only_on(facts))
    if cuda_from == "wheels" and "torch" not in packages:
        nvidia += [package + only_on(facts) for package in cuda_packages(facts)]
    return tuple(nvidia), tuple(cpu)


def onnxruntime_gpu(packages: list[str], cuda_from: str, facts: dict[str, Any]) -> str:
    """Return the requirement of ONNX Runtime for a GPU; its extras add what PyTorch lacks."""
    libraries = "[cuda,cudnn]" if cuda_from == "wheels" and "torch" in packages else ""
    return f"onnxruntime-gpu{libraries}=={facts['onnxruntime']}"


def cuda_packages(facts: dict[str, Any]) -> list[str]:
    """Return the requirements of the CUDA that ONNX Runtime needs where no PyTorch brings one.

    As the wheel's extras `cuda` and `cudnn` ask, with two exceptions. cuFFT (0.2 GB) is left out where only
    the operators Rfft and Irfft open it. The runtime compiler has the line's CUDA version, since a driver
    refuses the PTX of a newer one of the same major:
    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    """
    compiler = re.compile(r"(nvidia-cuda-nvrtc[a-z0-9-]*)~=.*")
    wanted = [compiler.sub(rf"\1=={facts['torch_cuda']}.*", item) for item in facts["onnxruntime_cuda"]]
    return [item for item in wanted if not (opens_late(CUFFT, facts) and item.startswith("nvidia-cufft"))]


def opens_late(library: str, facts: dict[str, Any]) -> bool:
    """Return whether ONNX Runtime looks for a library no sooner than an operator needs it."""
    return any(name.startswith(library) for name in facts["onnxruntime_lazy_libraries"])


def only_on(facts: dict[str, Any], condition: str = "") -> str:
    """Return the marker of ONNX Runtime for a GPU: the processors that it has a wheel for."""
    machines = [name for name in MACHINES if facts["onnxruntime_architectures"][name]]
    conditions = [condition] * bool(condition)
    conditions += [f"platform_machine == '{machines[0]}'"] * (len(machines) < len(MACHINES))
    return f" ; {' and '.join(conditions)}" if conditions else ""


def overrides(packages: list[str], cuda_from: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Return uv's override-dependencies: the line's versions, in the extra that they belong to.

    PyTorch in the extras of wheels has none: an override would lose the index that the extra chooses, and the
    pins there decide already. NVIDIA's image has its own, so nothing may bring another one.
    """
    gpu, cpu = onnxruntime_gpu(packages, cuda_from, facts), f"onnxruntime=={facts['onnxruntime']}"
    found = [gpu + only_on(facts, "extra == 'nvidia'")]
    found += [cpu + " ; extra == 'cpu'" * ("onnxruntime" in packages)]
    if cuda_from == "ngc":
        family = ("torch", "torchvision", "torchaudio")
        found += [f"{name}=={facts[name]} ; extra == 'cpu'" for name in family]
    return tuple(found)


def unserved(matrix: dict[str, Any], environment: str, line: str) -> str:
    """Return why a pair cannot be had and what can; nothing where it can be had."""
    by_nvidia = source_of_cuda(matrix, environment, line) == "ngc"
    if not by_nvidia or matrix["lines"][line]["ngc_image"]["value"]:
        return ""
    others = [name for name, entry in matrix["lines"].items() if entry["ngc_image"]["value"]]
    same_cuda = [name for name in others if cuda_of(matrix, name) == cuda_of(matrix, line)]
    nearest = (same_cuda or others)[0]
    return f"{matrix['lines'][line]['ngc_image']['why']}. Try cuda={nearest}, or environment=training"


def source_of_cuda(matrix: dict[str, Any], environment: str, line: str) -> str:
    """Return where an environment of a line has its CUDA from: image, wheels or ngc."""
    use = matrix["environments"][environment]
    return use.get("cuda_from_in", {}).get(line, use["cuda_from"])


def lines_with_cuda(matrix: dict[str, Any], environment: str, machine: str) -> tuple[str, ...]:
    """Return the lines that have an environment for a GPU on a processor."""
    lines = [line for line in matrix["lines"] if not unserved(matrix, environment, line)]
    return tuple(line for line in lines if not without_cuda(matrix, environment, line, machine))


def without_cuda(matrix: dict[str, Any], environment: str, line: str, machine: str) -> list[str]:
    """Return the frameworks of an environment that have no code for a GPU on a processor.

    NVIDIA's PyTorch image has its own, for both processors.
    """
    use, facts = matrix["environments"][environment], matrix["lines"][line]
    if source_of_cuda(matrix, environment, line) == "ngc":
        return []
    frameworks = [name for name in FRAMEWORKS if name in use["packages"]]
    return [name for name in frameworks if not facts[f"{name}_architectures"]["value"][machine]]


def cuda_of(matrix: dict[str, Any], line: str) -> int:
    """Return the CUDA major of a line."""
    return matrix["lines"][line]["cuda"]["value"]
