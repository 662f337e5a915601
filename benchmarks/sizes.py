"""What a first build downloads for a GPU. Computed: nothing is downloaded, and it needs no GPU and no Docker.

python -m benchmarks.sizes      prints a table; needs the package index

Each project is generated and locked for real: uv.lock has the size of each wheel.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import NotMeasured, Rounds
from benchmarks.results import COMPUTED, OTHER, PRODUCT, Row
from benchmarks.subjects import TEMPLATE, Subjects
from capy_template.matrix import load, source_of_cuda, unavailable
from compatibility.facts import Line
from compatibility.index import CannotCheck, users_index
from compatibility.uv_add import Project, best_file, run_uv

MB, GB = 10**6, 10**9
SYNC = TEMPLATE / "{{checked(cookiecutter.project)}}/docker/sync.sh"
# Not computed: apt's packages (95 MB on Debian 12) with their lists, and uv; Ubuntu, by Docker Hub; NVIDIA's
# PyTorch image, by its users.
SYSTEM, UBUNTU, NGC = 140 * MB, 30 * MB, 10 * GB
# NVIDIA's image that a Dockerfile for the line begins with: CUDA and cuDNN.
IMAGES = {"cu13-py312": ("13.0", "9.13"), "cu12-py312": ("12.9", "9.10"), "cu12-py310": ("12.4", "9.1")}
# What its -runtime form has of the toolkit; the -devel form has all of it.
RUNTIME = re.compile(
    r"nvidia-(cublas|cuda-nvrtc|cuda-runtime|cudnn|cufft|cufile|curand|cusolver|cusparse|nccl|npp"
    r"|nvjitlink|nvjpeg|nvtx)(-cu\d+)?"
)
NVIDIA = re.compile(r"(nvidia|cuda)-.*")
# A project with the libraries of an image; nothing of it is installed.
TOOLKIT = """\
[project]
name = "toolkit"
version = "0"
requires-python = ">={python}"
dependencies = ["cuda-toolkit[all]=={cuda}.*", "nvidia-cudnn-cu{major}=={cudnn}.*", "nvidia-nccl-cu{major}"]
[tool.uv]
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]
"""
USUAL = "pip on NVIDIA's -devel"
HEAD = ("environment", "line", "base image", "wheels", "of these large", "in all", "matrix.yaml", USUAL)
TOLERANCE = 0.05  # of the figure in matrix.yaml, which is rounded


@dataclass(frozen=True)
class Download:
    """The bytes that a first build of one environment of one line fetches."""

    environment: str
    line: str
    base: float
    wheels: int
    large: int  # of the wheels: those in the layer that stays
    promised: float  # what matrix.yaml says
    usual: float | None  # pip on NVIDIA's -devel image; None: nobody would

    @property
    def total(self) -> float:
        """Return all of them."""
        return self.base + SYSTEM + self.wheels


def sizes(_subjects: Subjects, _rounds: Rounds) -> Iterator[Row]:
    """The downloads as rows of the bench. Raises NotMeasured: no index."""
    try:
        found = list(downloads())
    except CannotCheck as error:
        raise NotMeasured(str(error)) from error
    for item in found:
        values = {PRODUCT: [item.total / MB]}
        if item.usual:
            values[OTHER] = [item.usual / MB]
        name = f"download for a GPU, {item.environment}, {item.line}; other: pip on NVIDIA's -devel image"
        yield Row(name, "MB", values, how=COMPUTED)


def downloads() -> Iterator[Download]:
    """Yield what each environment of each line downloads. Raises CannotCheck."""
    matrix, index = load(), users_index()
    with tempfile.TemporaryDirectory(prefix="capy-sizes-") as name:
        for line in (Line(line, matrix, index) for line in matrix["lines"]):
            image = of_image(line, Path(name) / f"image-{line.name}")
            devel = UBUNTU + sum(image.values())
            runtime = UBUNTU + sum(size for part, size in image.items() if RUNTIME.fullmatch(part))
            bases = {"image": runtime, "wheels": UBUNTU, "ngc": NGC}
            for environment in matrix["environments"]:
                if unavailable(matrix, environment, line.name):
                    continue
                folder = Path(name) / f"{environment}-{line.name}"
                wheels = of_project(Project.make(line, environment, folder))
                source = source_of_cuda(matrix, environment, line.name)
                yield Download(
                    environment,
                    line.name,
                    bases[source],
                    sum(wheels.values()),
                    sum(size for part, size in wheels.items() if large().fullmatch(part)),
                    matrix["environments"][environment]["download_gb"][line.name] * GB,
                    None if source == "ngc" else devel + SYSTEM + pip_beside_cuda(wheels),
                )


def pip_beside_cuda(wheels: dict[str, int]) -> int:
    """Return what pip fetches on an image with CUDA: PyTorch brings its own anyway, ONNX Runtime none."""
    if "torch" in wheels:
        return sum(wheels.values())
    return sum(size for name, size in wheels.items() if not NVIDIA.fullmatch(name))


def large() -> re.Pattern[str]:
    """Return the names of the packages in the layer of their own, as docker/sync.sh has them."""
    parts = re.findall(r"""^large=['"](?:\$large\|)?(.+)['"]$""", SYNC.read_text(), re.MULTILINE)
    return re.compile("|".join(parts))


def of_project(project: Project) -> dict[str, int]:
    """Return the size of each package that the image for a GPU has. Raises CannotCheck."""
    lock = tomllib.loads((project.folder / "uv.lock").read_text(encoding="utf-8"))
    known = by_address(lock)
    return {item.name: known[item.url] for item in project.installed("nvidia", groups=True)}


def of_image(line: Line, folder: Path) -> dict[str, int]:
    """Return the size of each library of CUDA in NVIDIA's -devel image, as wheels have it.

    The image has static libraries, too, which are no wheels: it is larger. Raises CannotCheck.
    """
    cuda, cudnn = IMAGES[line.name]
    folder.mkdir()
    major, lowest = cuda.partition(".")[0], line.value("lowest_python")
    project = TOOLKIT.format(python=lowest, cuda=cuda, cudnn=cudnn, major=major)
    (folder / "pyproject.toml").write_text(project)
    if refused := run_uv(folder, line, "lock"):
        raise CannotCheck(f"CUDA {cuda} cannot be resolved: {refused}")
    lock = tomllib.loads((folder / "uv.lock").read_text(encoding="utf-8"))
    known, target = by_address(lock), line.target()
    return {
        package["name"]: known[best_file(package, target)]
        for package in lock["package"]
        if package["name"] not in ("toolkit", "cuda-toolkit")
    }


def by_address(lock: dict) -> dict[str, int]:
    """Return the size of each file of a lock by its address."""
    files = [wheel for package in lock["package"] for wheel in package.get("wheels", [])]
    files += [package["sdist"] for package in lock["package"] if "sdist" in package]
    return {file["url"]: file["size"] for file in files if "size" in file}


def markdown(found: list[Download]) -> str:
    """Return the table as a page has it."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for item in found:
        figures = (item.base, item.wheels, item.large, item.total, item.promised, item.usual)
        shown = ("" if figure is None else f"{figure / GB:.2f} GB" for figure in figures)
        lines.append(f"| `{item.environment}` | `{item.line}` | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> int:
    """Print the table; return 1 where matrix.yaml says something else."""
    try:
        found = list(downloads())
    except CannotCheck as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(markdown(found))
    wrong = [item for item in found if abs(item.total / item.promised - 1) > TOLERANCE]
    for item in wrong:
        print(
            f"bench: matrix.yaml: {item.environment}: download_gb: {item.line}: {item.promised / GB:g}"
            f" should be {item.total / GB:.1f}",
            file=sys.stderr,
        )
    return int(bool(wrong))


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m benchmarks.sizes", description=__doc__.splitlines()[0]
    ).parse_args()
    sys.exit(main())
