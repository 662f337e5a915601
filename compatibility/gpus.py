"""Write the section on GPUs of docs/compatibility.md: the frameworks with code for each GPU."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

HEAD = """\
The frameworks with code for each GPU, in packages from the index; NVIDIA's PyTorch image has its own list.
Packages for Arm differ from those for x86-64 and support other GPUs.
Code for an architecture also runs on later ones of the same major (8.6 on 8.9), unless its name ends in *a*.
`*`: compiled from PTX on first use, which takes a while, once: the result is kept in `/cache`.
Names are from NVIDIA's lists of [current](https://developer.nvidia.com/cuda-gpus) and
[older](https://developer.nvidia.com/cuda-legacy-gpus) GPUs, 2026-11-23; not all are listed here.
"""

TAIL = """\
P100, GTX 10 and V100: a driver of the branches 525 to 580, with NVIDIA's own kernel modules. Newer ones have
dropped these GPUs. RTX 50, B200 and GB200: the package of the driver whose name ends in `-open`.
This was read, and not tried.

Jetson Orin (8.7) is not supported: its GPU only runs code for its own architecture, which no package here
has. NVIDIA has separate packages and images for it. On Arm without an NVIDIA GPU (Apple, Graviton), every
line works with `ACCELERATOR=cpu`.
"""

PROCESSORS = {"x86_64": "x86-64", "aarch64": "Arm (aarch64)"}
# Compute capability, and GPUs that have it: a selection of NVIDIA's lists, by processor.
GPUS = {
    "x86_64": {
        "6.0": "P100",
        "6.1": "GTX 10, P4, P40",
        "7.0": "V100, Titan V",
        "7.5": "T4, GTX 16, RTX 20, Quadro RTX",
        "8.0": "A100, A30",
        "8.6": "RTX 30, A2, A10, A40, RTX A6000",
        "8.9": "RTX 40, L4, L40, L40S, RTX 6000 Ada",
        "9.0": "H100, H200",
        "10.0": "B200",
        "10.3": "B300",
        "12.0": "RTX 50, RTX PRO 6000 Blackwell",
    },
    "aarch64": {
        "7.5": "T4G",
        "8.0": "A100 in an Arm server",
        "8.7": "Jetson Orin",
        "9.0": "GH200",
        "10.0": "GB200",
        "10.3": "GB300",
        "11.0": "Jetson Thor",
        "12.1": "GB10 (DGX Spark)",
    },
}
# Tegra GPUs only run code for their own architecture.
JETSON = ("5.3", "6.2", "7.2", "8.7", "11.0")
FRAMEWORKS = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch"}


def section(lines: dict[str, Any], machine: str) -> list[str]:
    """Return the section on the GPUs of machines with one processor."""
    rows = (
        [gpu, names, *(served(line, gpu, machine) for line in lines.values())]
        for gpu, names in GPUS[machine].items()
    )
    return [f"### {PROCESSORS[machine]}\n", *table(["", "for example", *lines], rows), ""]


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return the lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def served(line: dict[str, Any], gpu: str, machine: str) -> str:
    """Return the frameworks of a line with code for a GPU, with `*` if it is compiled from PTX first."""
    built = {name: line[f"{name}_architectures"]["value"][machine] for name in FRAMEWORKS}
    found = {name: code_for(gpu, architectures) for name, architectures in built.items()}
    names = [FRAMEWORKS[name] + mark for name, mark in found.items() if mark is not None]
    same = len(names) == len(FRAMEWORKS) and len(set(found.values())) == 1
    return f"both{found['torch']}" if same else ", ".join(names) or "none"


def code_for(gpu: str, architectures: list[str]) -> str | None:
    """Return "" if an architecture has code for a GPU, "*" if it has PTX, else None."""
    wanted = version_tuple(gpu)
    older = [name for name in architectures if version_tuple(name) <= wanted]
    ready = [
        name
        for name in older
        if not name.endswith("+PTX") and version_tuple(name)[0] == wanted[0]
        if version_tuple(name) == wanted or not (name.endswith("a") or gpu in JETSON)
    ]
    return "" if ready else "*" if any(name.endswith("+PTX") for name in older) else None


def version_tuple(architecture: str) -> tuple[int, int]:
    """Return the compute capability of an architecture: (12, 0) for 12.0a."""
    major, minor = re.match(r"(\d+)\.(\d+)", architecture).groups()
    return int(major), int(minor)
