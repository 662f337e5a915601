"""Read compatibility/matrix.yaml: the images and packages for the answers `environment` and `cuda`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cookiecutter.exceptions import FailedHookException

# libyaml's loader, if PyYAML has it, is ten times as fast
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MATRIX = Path(__file__).resolve().parent.parent / "compatibility" / "matrix.yaml"
# The frameworks that must be built for the same CUDA.
FRAMEWORKS = ("onnxruntime", "torch")
# These have a build for each accelerator, so they are pinned in the extras `nvidia` and `cpu`.
IN_EXTRAS = (*FRAMEWORKS, "torchvision")
OPENCVS = tuple(f"opencv-{kind}python{end}" for kind in ("", "contrib-") for end in ("-headless", ""))
# The name on the index, if the matrix uses another one.
DISTRIBUTIONS = {"opencv": "opencv-python-headless", "scikit_learn": "scikit-learn"}
CUFFT = "libcufft."
MACHINES = ("x86_64", "aarch64")  # processors, as platform.machine() calls them
SHARED_MEMORY_MIB = 1024  # below this, a data loader with several workers fails sooner or later


class Unavailable(ValueError):
    """The line does not have this environment; the message says why, and what to use instead."""


@dataclass(frozen=True)
class Stack:
    """What the generated files use of the answers `environment` and `cuda`."""

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
    overrides: tuple[str, ...]  # uv's override-dependencies
    exclusions: tuple[str, ...]  # uv's exclude-dependencies
    shm_size: str | None  # of /dev/shm, as Compose writes it
    download_gb: dict[str, float]  # of the first build, for a GPU and for the CPU
    # by processor: the lines that have this environment for a GPU
    lines_with_cuda: dict[str, tuple[str, ...]]
    facts: dict[str, Any]  # the line's facts without their sources
    sources: dict[str, dict[str, str]]  # of each fact: text, url and date

    def has(self, package: str) -> bool:
        """Return whether the environment has a package of the matrix."""
        return package in self.packages

    @property
    def machines(self) -> tuple[str, ...]:
        """Return the processors on which the line has this environment for a GPU."""
        return tuple(name for name in MACHINES if self.line in self.lines_with_cuda[name])

    @property
    def python_limit(self) -> str:
        """Return the first Python version without wheels for the line."""
        return f"3.{int(self.facts['highest_python'].split('.')[1]) + 1}"

    def first_build(self, accelerator: str) -> str:
        """Return the download size and duration of the first build as a text."""
        minutes = self.build_minutes(accelerator)
        return f"{self.download_gb[accelerator]:g} GB, about {minutes} minutes at 100 Mbit/s"

    def build_minutes(self, accelerator: str) -> int:
        """Return about how many minutes the first build takes."""
        return first_build_minutes(self.download_gb[accelerator])

    @property
    def doctor(self) -> dict[str, Any]:
        """Return the content of docker/environment.json, which the doctor compares with."""
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
            "cuda_packages": self.cuda_packages,
            "frameworks": frameworks,
            "lines_with_cuda": {name: list(lines) for name, lines in self.lines_with_cuda.items()},
        }

    @property
    def cuda_packages(self) -> list[str]:
        """Return the CUDA packages that pyproject.toml names itself; with PyTorch its packages bring them."""
        return cuda_packages(self.facts) if self.cuda_from == "wheels" and not self.has("torch") else []

    def _framework(self, name: str) -> dict[str, Any]:
        by_image = self.cuda_from == "ngc"  # each release of NVIDIA's image has its own version
        lazy = self.facts.get(f"{name}_lazy_libraries", [])
        alone = self.cuda_from == "wheels" and not self.has("torch")
        return {
            "version": None if by_image else self.facts[name],
            "architectures": {} if by_image else self.facts[f"{name}_architectures"],
            "lazy_libraries": [item for item in lazy if not (alone and item.startswith(CUFFT))],
        }


def first_build_minutes(gigabytes: float) -> int:
    """Estimate the minutes of a first build at 100 Mbit/s: 80 s a GB, and the time to unpack it."""
    return math.ceil(1.4 * gigabytes + 1)


@cache
def load() -> dict[str, Any]:
    """Return matrix.yaml as data, cached. Do not change it."""
    return yaml.load(MATRIX.read_text(encoding="utf-8"), Loader=LOADER)


def stack(environment: str, line: str) -> Stack:
    """Return the Stack of the answers `environment` and `cuda`.

    Raises Unavailable if the line does not have the environment, KeyError for unknown names.
    """
    matrix = load()
    if reason := unavailable(matrix, environment, line):
        raise Unavailable(f"environment={environment} is not available with cuda={line}: {reason}")
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
    """Return the Stack of all answers: the filter `stack`.

    Raises FailedHookException, which cookiecutter prints as one line, for an unavailable pair or an
    unknown name, as a replay file may have.
    """
    for question, known in (("environment", load()["environments"]), ("cuda", load()["lines"])):
        if (answer := answers.get(question)) not in known:
            raise FailedHookException(
                f"{answer!r} is not an answer to `environment` or `cuda` of this template"
            )
    try:
        return stack(answers["environment"], answers["cuda"])
    except Unavailable as error:
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
    """Return the requirement for ONNX Runtime on a GPU; with PyTorch, its extras add what is missing."""
    libraries = "[cuda,cudnn]" if cuda_from == "wheels" and "torch" in packages else ""
    return f"onnxruntime-gpu{libraries}=={facts['onnxruntime']}"


def cuda_packages(facts: dict[str, Any]) -> list[str]:
    """Return the requirements for the CUDA packages of ONNX Runtime without PyTorch.

    As in the wheel's extras `cuda` and `cudnn`, with three exceptions. Without cuFFT (0.2 GB) if only the
    operators Rfft and Irfft open it. The runtime compiler has the line's CUDA version: a driver refuses PTX
    of a newer compiler, even of the same CUDA major:
    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    cuDNN is PyTorch's: a newer one may have no code for the line's GPUs (9.11 lost V100 and P100, measured
    by compatibility.processors.cudnn_code).
    """
    cudnn = ".".join(facts["torch_cudnn"].split(".")[:2])
    pins = {"nvidia-cuda-nvrtc": facts["torch_cuda"], "nvidia-cudnn": cudnn}
    wanted = []
    for item in facts["onnxruntime_cuda"]:
        name, _, version = item.partition("~=")
        pin = next((pin for family, pin in pins.items() if name.startswith(family)), "")
        wanted.append(f"{name}=={pin}.*" if pin else f"{name}~={version}")
    return [item for item in wanted if not (opens_late(CUFFT, facts) and item.startswith("nvidia-cufft"))]


def opens_late(library: str, facts: dict[str, Any]) -> bool:
    """Return whether ONNX Runtime opens a library only when an operator needs it."""
    return any(name.startswith(library) for name in facts["onnxruntime_lazy_libraries"])


def only_on(facts: dict[str, Any], condition: str = "") -> str:
    """Return the marker for onnxruntime-gpu: the processors that it has a wheel for."""
    machines = [name for name in MACHINES if facts["onnxruntime_architectures"][name]]
    conditions = [condition] * bool(condition)
    conditions += [f"platform_machine == '{machines[0]}'"] * (len(machines) < len(MACHINES))
    return f" ; {' and '.join(conditions)}" if conditions else ""


def overrides(packages: list[str], cuda_from: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Return uv's override-dependencies: the line's versions, each with its extra.

    Without PyTorch of wheels: an override would lose the index that the extra chooses, and the extras pin it
    already. With NVIDIA's image, no package must bring another PyTorch.
    """
    gpu, cpu = onnxruntime_gpu(packages, cuda_from, facts), f"onnxruntime=={facts['onnxruntime']}"
    found = [gpu + only_on(facts, "extra == 'nvidia'")]
    found += [cpu + " ; extra == 'cpu'" * ("onnxruntime" in packages)]
    if cuda_from == "ngc":
        family = ("torch", "torchvision", "torchaudio")
        found += [f"{name}=={facts[name]} ; extra == 'cpu'" for name in family]
    return tuple(found)


def unavailable(matrix: dict[str, Any], environment: str, line: str) -> str:
    """Return why a pair is not available and what to use instead, "" if it is available."""
    by_nvidia = source_of_cuda(matrix, environment, line) == "ngc"
    if not by_nvidia or matrix["lines"][line]["ngc_image"]["value"]:
        return ""
    others = [name for name, entry in matrix["lines"].items() if entry["ngc_image"]["value"]]
    same_cuda = [name for name in others if cuda_of(matrix, name) == cuda_of(matrix, line)]
    nearest = (same_cuda or others)[0]
    return f"{matrix['lines'][line]['ngc_image']['why']}. Try cuda={nearest}, or environment=training"


def source_of_cuda(matrix: dict[str, Any], environment: str, line: str) -> str:
    """Return the source of CUDA for an environment of a line: image, wheels or ngc."""
    use = matrix["environments"][environment]
    return use.get("cuda_from_in", {}).get(line, use["cuda_from"])


def lines_with_cuda(matrix: dict[str, Any], environment: str, machine: str) -> tuple[str, ...]:
    """Return the lines with a GPU build of an environment for a processor."""
    lines = [line for line in matrix["lines"] if not unavailable(matrix, environment, line)]
    return tuple(line for line in lines if not without_cuda(matrix, environment, line, machine))


def without_cuda(matrix: dict[str, Any], environment: str, line: str, machine: str) -> list[str]:
    """Return the frameworks of an environment without GPU code for a processor.

    NVIDIA's PyTorch image has code for both processors.
    """
    use, facts = matrix["environments"][environment], matrix["lines"][line]
    if source_of_cuda(matrix, environment, line) == "ngc":
        return []
    frameworks = [name for name in FRAMEWORKS if name in use["packages"]]
    return [name for name in frameworks if not facts[f"{name}_architectures"]["value"][machine]]


def cuda_of(matrix: dict[str, Any], line: str) -> int:
    """Return the CUDA major of a line."""
    return matrix["lines"][line]["cuda"]["value"]
