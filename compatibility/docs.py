"""Write docs/compatibility.md from matrix.yaml: `make docs`. A test compares the file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capy_template.matrix import load, source_of_cuda, stack, unavailable, without_cuda
from compatibility import gpus
from compatibility.gpus import FRAMEWORKS, PROCESSORS, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compatibility.md"

HEAD = """\
<!-- Written by `make docs` from compatibility/matrix.yaml: change that file, not this one. -->
# Versions that work together

ONNX Runtime and PyTorch are each built for one major version of CUDA and one of cuDNN.
Libraries of another major version do not work; minor versions of the same major do.
To use both frameworks in one process, both need the same two majors, wheels for the same Python,
and a driver that is new enough.
Such a tested combination is called a **line**.
The question `cuda` chooses the line, and with it every version.

pip and uv do not check this: the CUDA version is not part of what they compare, and both frameworks change it
between releases.
A wrong pair installs without an error. Then one of the two silently runs on the CPU, or fails when the first
kernel needs a missing library.
With the extras for CUDA, a wrong pair brings two cuDNN packages that overwrite each other's files.
`make check-compatibility` compares the lines with the package index, weekly in a workflow, since versions can
also be removed.
"""

WHICH = """\
## Choose a line

Take the first line that supports your driver and, in the table of [the GPUs](#the-gpus), each of your GPUs.
`nvidia-smi` shows both; `uname -m` shows the processor: x86_64, or aarch64 (Arm).
A *frozen* line gets no newer ONNX Runtime or PyTorch, since they dropped its CUDA or its Python.
Its versions are still checked every week.
"""

ENVIRONMENTS_HEAD = """\
Each environment has one copy of CUDA and cuDNN: from packages (wheels) on a plain Ubuntu image, or from
NVIDIA's image. For packages, `uv.lock` has a hash of every byte of CUDA.
"""

LEFT_OUT = """\
`inference` from packages lacks two parts of NVIDIA's image:

- The forward-compatibility package. With it, a data-centre GPU runs CUDA 13 on a driver of the 535 or 550
  series. If you cannot update such a driver, choose `cuda=cu12-py312`.
- cuFFT (0.2 GB), with CUDA 13. ONNX Runtime opens it only for its own operators `Rfft` and `Irfft`, which
  then fail with *cuFFT is unavailable*. To add it: `docker compose run --rm app uv add --optional
  nvidia nvidia-cufft`, then `docker compose build`. ONNX's operator `DFT` does not need it.

`inference` with `cu12-py310` has cuBLAS 12.4.5 and cuDNN 9.1.0, from NVIDIA's image for CUDA 12.4. They have
no code for Blackwell (10.0 to 12.0), only PTX for 9.0, which the driver compiles on first use.
That was read from the wheels of these two versions, and not run on such a GPU.
The build removes that image's own forward-compatibility library: drivers from 525 on need none, and on a
GeForce it ends in *forward compatibility was attempted on non supported HW* (read, not run).
"""

SOURCES_HEAD = """\
*Measured*: found in the packages themselves. *Read*: documented by the source. *Inferred*: follows from
documentation, untested. Not every version was run on each of these GPUs.
"""

PROCESSORS_HEAD = """\
GPU support by processor. With `ACCELERATOR=cpu`, both processors have every environment. For a "no",
the build stops before it downloads packages and names a line that works.
NVIDIA's images are for both processors.
"""

# The rows of the first table, and their labels.
ROWS = {
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "glibc": "glibc, at least",
    "minimum_driver": "driver, at least",
    "ubuntu": "Ubuntu",
    "python": "Python in the image",
    "lowest_python": "Python, at least",
    "highest_python": "Python, at most",
    "onnxruntime": "ONNX Runtime",
    "onnxruntime_architectures": "its GPU code",
    "onnxruntime_cuda": "its extras `cuda` and `cudnn`",
    "onnxruntime_lazy_libraries": "what it opens late",
    "torch": "PyTorch",
    "torchvision": "torchvision",
    "torchaudio": "torchaudio, where it is added",
    "torch_cuda": "its CUDA",
    "torch_cudnn": "its cuDNN",
    "torch_architectures": "its GPU code",
    "opencv": "OpenCV, headless",
    "numpy": "NumPy",
    "scikit_learn": "scikit-learn",
    "onnx": "ONNX",
    "onnxscript": "ONNX Script",
    "cudnn_image": "image with CUDA and cuDNN",
    "wheels_image": "image for CUDA from wheels",
    "ngc_image": "NVIDIA's PyTorch image",
    "ngc_torch": "its PyTorch",
    "ngc_cuda": "its CUDA",
    "cpu_image": "image without a GPU",
}


def page(matrix: dict[str, Any]) -> str:
    """Return the text of the page."""
    lines, environments = matrix["lines"], matrix["environments"]
    parts = [
        HEAD,
        WHICH,
        "## The lines\n",
        *table(["", *lines], rows(lines)),
        *table(["", *lines], [["status", *(line["status"] for line in lines.values())]])[2:],
        "",
        "## The environments\n",
        ENVIRONMENTS_HEAD,
        *table(
            ["", *lines],
            ([f"`{name}`", *(origin(matrix, name, line) for line in lines)] for name in environments),
        ),
        *("", *refusals(matrix), ""),
        LEFT_OUT,
        PROCESSORS_HEAD,
        *table(
            ["", "processor", *lines],
            (
                [f"`{name}`", title, *(on_processor(matrix, name, line, machine) for line in lines)]
                for name in environments
                for machine, title in PROCESSORS.items()
            ),
        ),
        "",
        "## The GPUs\n",
        gpus.HEAD,
        *(text for machine in PROCESSORS for text in gpus.section(lines, machine)),
        gpus.TAIL,
        "## How each fact is known\n",
        SOURCES_HEAD,
        *table(
            ["source", "how", "facts", "looked up"],
            (
                [f"[{item['text']}]({item['url']})", item["how"], *used(lines, name)]
                for name, item in matrix["sources"].items()
            ),
        ),
    ]
    return "\n".join(parts) + "\n"


def rows(lines: dict[str, Any]) -> Iterator[list[str]]:
    """Yield the rows of the first table, without the one of the status."""
    for name, title in ROWS.items():
        yield [title, *facts(lines, name)]
        if name == "onnxruntime_cuda":
            yield ["`inference` installs", *map(cuda_of_inference, lines)]


def cuda_of_inference(line: str) -> str:
    """Return the CUDA packages that `inference` installs for a GPU."""
    return ", ".join(stack("inference", line).cuda_packages) or "none: they are in NVIDIA's image"


def facts(lines: dict[str, Any], name: str) -> list[str]:
    """Return the cells of a fact, one for each line."""
    return [shown(line[name]["value"]) for line in lines.values()]


def shown(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, dict):
        first, other = map(shown, value.values())
        return first if first == other else f"{first}; Arm: {other}"
    return (", ".join(value) if isinstance(value, list) else str(value or "")) or "none"


def origin(matrix: dict[str, Any], environment: str, line: str) -> str:
    """Return where an environment of a line gets CUDA, or that there is no such pair."""
    if unavailable(matrix, environment, line):
        return "not to be had"
    return {
        "image": "NVIDIA's image, with cuDNN",
        "wheels": "packages (wheels)",
        "ngc": "NVIDIA's PyTorch image",
    }[source_of_cuda(matrix, environment, line)]


def on_processor(matrix: dict[str, Any], environment: str, line: str, machine: str) -> str:
    """Return whether a line has an environment for a GPU on a processor, else what is missing."""
    if unavailable(matrix, environment, line):
        return "not to be had"
    lacking = without_cuda(matrix, environment, line, machine)
    return f"no: {' and '.join(FRAMEWORKS[name] for name in lacking)} without CUDA" if lacking else "yes"


def refusals(matrix: dict[str, Any]) -> list[str]:
    """Return for each unavailable pair why, and what to use instead."""
    pairs = [(name, line) for name in matrix["environments"] for line in matrix["lines"]]
    return [
        f"`{name}` with `{line}`: {why}." for name, line in pairs if (why := unavailable(matrix, name, line))
    ]


def used(lines: dict[str, Any], source: str) -> list[str]:
    """Return the facts of a source, with the lines if it does not cover all, and the oldest date."""
    where: dict[str, list[str]] = {}
    dates = []
    for line, entry in lines.items():
        for name, fact in entry.items():
            if isinstance(fact, dict) and fact["source"] == source:
                where.setdefault(name, []).append(line)
                dates.append(str(fact["date"]))
    names = [
        name if len(found) == len(lines) else f"{name} ({', '.join(found)})" for name, found in where.items()
    ]
    return [", ".join(names), min(dates, default="")]


def main(words: list[str] | None = None) -> int:
    """Write the page and return 0; if the matrix lacks something, print one line and return 1."""
    argparse.ArgumentParser(
        prog="python -m compatibility.docs", description=__doc__.splitlines()[0]
    ).parse_args(words)
    try:
        text = page(load())
    except KeyError as error:
        print(
            f"docs: compatibility/matrix.yaml lacks {error}: a fact of a line, or a line in `download_gb`",
            file=sys.stderr,
        )
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"docs/{PAGE.name} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
