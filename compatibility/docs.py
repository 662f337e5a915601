"""Writes docs/compatibility.md from matrix.yaml: `make docs`. A test asks whether the file is fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capy_template.matrix import load, source_of_cuda, unserved, without_cuda
from compatibility import gpus
from compatibility.gpus import FRAMEWORKS, PROCESSORS, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compatibility.md"

HEAD = """\
<!-- Written by `make docs` from compatibility/matrix.yaml: change that file, not this one. -->
# Which versions agree

ONNX Runtime and PyTorch are each built for one major version of CUDA and one of cuDNN. Libraries of one
major never serve the other; minor versions of one major do serve each other. In one process both frameworks
must therefore be built for the same two majors, on a Python for which both have a wheel, under a driver
that is new enough. Such a set is called a **line** here. It was verified as a whole, and you choose it as a
whole: `cuda` is the question, and no version of a single package is asked.

No installer checks that. The CUDA of a package is not part of what pip or uv compare, and both projects
change it from one release to the next: a wrong pair installs without an error. One of the two then runs on
the CPU without a word, or stops when the first kernel needs a library that is not there. With the extras
for CUDA, a wrong pair even brings two packages of cuDNN that write the same files. Sometimes a pinned
version is removed from the index. So `make check-compatibility` compares the lines with the index, and a
workflow does so every week.
"""

WHICH = """\
## Which line do I take?

The first whose driver your machines have, and whose column under [The GPUs](#the-gpus) names what you need
for each of your GPUs. `nvidia-smi` shows both, and `uname -m` the processor: x86_64, or aarch64 (Arm).
A *frozen* line gets no newer ONNX Runtime or PyTorch: they have left its CUDA, or its Python. What is there
is still checked every week.
"""

ENVIRONMENTS_HEAD = """\
Where CUDA and cuDNN come from decides whether there is one copy of them. With packages (wheels) the image is
a plain Ubuntu, and `uv.lock` has a hash for every byte of CUDA.
"""

LEFT_OUT = """\
Two things that NVIDIA's image has are not in `inference` from packages:

- The forward-compatibility package. With it, a data-centre GPU runs CUDA 13 on a driver of the 535 or 550
  series. Where you cannot update such a driver, choose `cuda=cu12-py312`, or `environment=training-ngc`: that
  image has the package.
- cuFFT (0.2 GB), with CUDA 13. ONNX Runtime opens it for its own operators `Rfft` and `Irfft` alone, which
  then stop with *cuFFT is unavailable*. To have it: `docker compose run --rm app uv add --optional
  nvidia nvidia-cufft`, then `docker compose build`. ONNX's operator `DFT` does not need it.
"""

SOURCES_HEAD = """\
*Measured*: found in the packages themselves. *Read*: somebody documents it. *Inferred*: it follows from
something that was read, and nobody has tried it. None of it was run on each of these GPUs.
"""

PROCESSORS_HEAD = """\
With a GPU, by processor. Without one (`ACCELERATOR=cpu`) both processors have every environment. Where it
says no, the build stops before it downloads a package, and names a line that has it. NVIDIA's images are for
both processors.
"""

# The rows of the first table, and how they are called there.
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
    "onnxruntime_cuda": "its CUDA",
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
    """Return the whole text."""
    lines, environments = matrix["lines"], matrix["environments"]
    parts = [
        HEAD,
        WHICH,
        "## The lines\n",
        *table(["", *lines], ([title, *facts(lines, name)] for name, title in ROWS.items())),
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


def facts(lines: dict[str, Any], name: str) -> list[str]:
    """Return a fact of each line as a reader wants it."""
    return [shown(line[name]["value"]) for line in lines.values()]


def shown(value: Any) -> str:
    """Return a value as a reader wants it."""
    if isinstance(value, dict):
        first, other = map(shown, value.values())
        return first if first == other else f"{first}; Arm: {other}"
    return (", ".join(value) if isinstance(value, list) else str(value or "")) or "none"


def origin(matrix: dict[str, Any], environment: str, line: str) -> str:
    """Return where CUDA comes from in an environment of a line, or that there is no such pair."""
    if unserved(matrix, environment, line):
        return "not to be had"
    return {
        "image": "NVIDIA's image, with cuDNN",
        "wheels": "packages (wheels)",
        "ngc": "NVIDIA's PyTorch image",
    }[source_of_cuda(matrix, environment, line)]


def on_processor(matrix: dict[str, Any], environment: str, line: str, machine: str) -> str:
    """Return whether a line has an environment for a GPU on a processor, and what is missing where not."""
    if unserved(matrix, environment, line):
        return "not to be had"
    lacking = without_cuda(matrix, environment, line, machine)
    return f"no: {' and '.join(FRAMEWORKS[name] for name in lacking)} without CUDA" if lacking else "yes"


def refusals(matrix: dict[str, Any]) -> list[str]:
    """Return for each pair that cannot be had: why, and what can."""
    pairs = [(name, line) for name in matrix["environments"] for line in matrix["lines"]]
    return [
        f"`{name}` with `{line}`: {why}." for name, line in pairs if (why := unserved(matrix, name, line))
    ]


def used(lines: dict[str, Any], source: str) -> list[str]:
    """Return the facts that a source tells, with lines where it does not tell all, and the oldest date."""
    where: dict[str, list[str]] = {}
    dates = []
    for line, entry in lines.items():
        for name, fact in entry.items():
            if isinstance(fact, dict) and fact["source"] == source:
                where.setdefault(name, []).append(line)
                dates.append(str(fact["date"]))
    names = [name if len(its) == len(lines) else f"{name} ({', '.join(its)})" for name, its in where.items()]
    return [", ".join(names), min(dates, default="")]


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(load()), encoding="utf-8")
    print(f"docs/{PAGE.name} is written")
