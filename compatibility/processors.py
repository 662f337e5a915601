"""Check each processor against the package index: GPU code, the C library, resolutions."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from capy_template.matrix import FRAMEWORKS, MACHINES, extras, source_of_cuda, unavailable, without_cuda
from compatibility import fatbin
from compatibility.gpus import code_for
from compatibility.index import Outdated

if TYPE_CHECKING:
    from compatibility.facts import Line

# The package with GPU code, and its library.
CODE = {
    "onnxruntime": ("onnxruntime-gpu", r"onnxruntime/capi/libonnxruntime_providers_cuda\.so"),
    "torch": ("torch", r"torch/lib/libtorch_cuda\.so"),
}
CUDNN_CODE = "torch_cudnn, its GPU code"
PACKAGES = ("onnxruntime-gpu", "onnxruntime", "torch", "torchvision")  # whose wheels need a C library


def questions(line: Line) -> dict[str, Callable[[Line], None]]:
    """Return the check of each fact, as compatibility.facts does."""
    cells = [(environment, machine) for environment in line.matrix["environments"] for machine in MACHINES]
    return {
        **{f"{name}_architectures": partial(architectures, framework=name) for name in FRAMEWORKS},
        CUDNN_CODE: cudnn_code,
        "glibc": glibc,
        **{", ".join(cell): partial(resolved, environment=cell[0], machine=cell[1]) for cell in cells},
    }


def shown(line: Line, fact: str) -> str:
    """Return the matrix's value for an environment on a processor, or for cuDNN's code, as text."""
    if fact == CUDNN_CODE:
        return "for every GPU of the line"
    environment, machine = fact.split(", ")
    if why := unavailable(line.matrix, environment, line.name):
        return f"refused: {why}"
    lacking = without_cuda(line.matrix, environment, line.name, machine)
    return f"without a GPU: no CUDA there in {' and '.join(lacking)}" if lacking else "resolves"


def architectures(line: Line, framework: str) -> None:
    """Check the GPUs that the library has code for, on each processor; for none, there is no library."""
    name, library = CODE[framework]
    for machine in MACHINES:
        expected = line.code(framework, machine)
        try:
            wheel = line.index.wheel(name, line.value(framework), line.target(machine=machine))
            found = line.index.read_by(fatbin.architectures, wheel, library)
        except Outdated:
            if expected:
                raise
            continue
        except fatbin.NoCode as error:
            raise Outdated(f"{wheel.filename}: {error}") from None
        if set(found) != set(expected):
            raise Outdated(f"on {machine} {name} has code for {', '.join(found)}")


def cudnn_code(line: Line) -> None:
    """Check that cuDNN has code for every GPU that the frameworks have code for."""
    for machine in MACHINES:
        wanted = [name for framework in FRAMEWORKS for name in line.code(framework, machine)]
        if not wanted:
            continue
        package, version = f"nvidia-cudnn-cu{line.value('cuda')}", line.value("torch_cudnn")
        wheel = line.index.wheel(package, version, line.target(machine=machine))
        library = rf"nvidia/cudnn/lib/libcudnn_ops\.so\.{line.value('cudnn')}"
        try:
            found = line.index.read_by(fatbin.architectures, wheel, library)
        except fatbin.NoCode as error:
            raise Outdated(f"{wheel.filename}: {error}") from None
        gpus = dict.fromkeys(re.match(r"[\d.]+", name)[0] for name in wanted)
        if lacking := [gpu for gpu in gpus if code_for(gpu, found) is None]:
            raise Outdated(f"on {machine} {package} {version} has no code for {', '.join(lacking)}")


def glibc(line: Line) -> None:
    """Check the C library: the highest version that the names of the pinned wheels require."""
    for machine, expected in line.value("glibc").items():
        asked = []
        for name in PACKAGES:
            fact = name.removesuffix("-gpu")
            if name != fact and not line.code(fact, machine):
                continue
            wheel = line.index.wheel(name, line.value(fact), line.target(machine=machine))
            tags = [tag.platform for tag in parse_wheel_filename(wheel.filename)[3]]
            minors = [int(match[1]) for tag in tags if (match := re.match(r"manylinux_2_(\d+)_", tag))]
            asked.append((min(minors), name))
        minor, name = max(asked)
        if f"2.{minor}" != expected:
            raise Outdated(f"on {machine} it is 2.{minor}, for {name}")


def resolved(line: Line, environment: str, machine: str) -> None:
    """Check that the packages resolve on the processor, for the CPU and, if the matrix says so, a GPU."""
    matrix = line.matrix
    if unavailable(matrix, environment, line.name):
        return
    use = matrix["environments"][environment]
    source = source_of_cuda(matrix, environment, line.name)
    nvidia, cpu = extras(use["packages"], source, line.values)
    others = line.others(use)
    line.index.resolve([*others, *cpu], line.target(machine=machine))
    if not without_cuda(matrix, environment, line.name, machine):
        line.index.resolve([*others, *nvidia], line.target(machine=machine))
