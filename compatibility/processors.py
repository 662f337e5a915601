"""What the package index is asked about each processor: code for GPUs, the C library, resolutions."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from capy_template.matrix import FRAMEWORKS, MACHINES, extras, source_of_cuda, unavailable, without_cuda
from compatibility import fatbin
from compatibility.index import Changed

if TYPE_CHECKING:
    from compatibility.facts import Line

# The package with code for GPUs, and the library in it.
CODE = {
    "onnxruntime": ("onnxruntime-gpu", r"onnxruntime/capi/libonnxruntime_providers_cuda\.so"),
    "torch": ("torch", r"torch/lib/libtorch_cuda\.so"),
}
PACKAGES = ("onnxruntime-gpu", "onnxruntime", "torch", "torchvision")  # whose wheels ask for a C library


def questions(line: Line) -> dict[str, Callable[[Line], None]]:
    """Return what to ask about which fact, as compatibility.facts does."""
    cells = [(environment, machine) for environment in line.matrix["environments"] for machine in MACHINES]
    return {
        **{f"{name}_architectures": partial(architectures, framework=name) for name in FRAMEWORKS},
        "glibc": glibc,
        **{", ".join(cell): partial(resolved, environment=cell[0], machine=cell[1]) for cell in cells},
    }


def shown(line: Line, fact: str) -> str:
    """Return what the matrix says of an environment on a processor, for a table."""
    environment, machine = fact.split(", ")
    if why := unavailable(line.matrix, environment, line.name):
        return f"refused: {why}"
    lacking = without_cuda(line.matrix, environment, line.name, machine)
    return f"without a GPU: no CUDA there in {' and '.join(lacking)}" if lacking else "resolves"


def architectures(line: Line, framework: str) -> None:
    """The library has code for those GPUs, on each processor; where for none, there is no library."""
    name, library = CODE[framework]
    for machine in MACHINES:
        said = line.code(framework, machine)
        try:
            wheel = line.index.wheel(name, line.value(framework), line.target(machine=machine))
            found = line.index.read_by(fatbin.architectures, wheel, library)
        except Changed:
            if said:
                raise
            continue
        except fatbin.NoCode as error:
            raise Changed(f"{wheel.filename}: {error}") from None
        if set(found) != set(said):
            raise Changed(f"on {machine} {name} has code for {', '.join(found)}")


def glibc(line: Line) -> None:
    """It is the C library that the pinned wheels ask for by their names: the highest of them."""
    for machine, said in line.value("glibc").items():
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
        if f"2.{minor}" != said:
            raise Changed(f"on {machine} it is 2.{minor}, for {name}")


def resolved(line: Line, environment: str, machine: str) -> None:
    """The packages go together on that processor, without a GPU and, where the matrix says so, with one."""
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
