"""Prepare a GPU check: a folder with projects, scripts, and the wheel of ONNX Runtime in pieces.

python -m tools.gpu_check.pack FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parents[2]
LINE = "cu13-py312"
ENVIRONMENTS = ("inference", "training", "full")
PYTHON = "3.12"  # of the machine with the GPU
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
PIECE_BYTES = 60_000_000


def pack(folder: Path) -> Path:
    """Write everything that the check needs into `folder`, which must not exist, and return it.

    The pieces of the wheel are in `pieces/`, so that each can be copied alone.
    Raises OSError if the folder exists, CalledProcessError if pip finds no wheel.
    """
    folder.mkdir(parents=True)
    for name in ENVIRONMENTS:
        generate(name, folder / "projects")
    shutil.copytree(Path(__file__).parent, folder / "gpu_check", ignore=shutil.ignore_patterns("__pycache__"))
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download(pinned(folder / "projects" / "full"), Path(scratch))
        split(wheel, folder / "pieces")
    return folder


def generate(environment: str, folder: Path) -> None:
    """Generate the project of an environment, without hooks."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch, "settings.yaml")
        settings.write_text(f"replay_dir: {scratch}/replay\ncookiecutters_dir: {scratch}/templates\n")
        cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context={"project": f"gpu-{environment}", "environment": environment, "cuda": LINE},
            output_dir=str(folder / environment),
            config_file=str(settings),
            accept_hooks=False,
        )
    project = folder / environment / f"gpu-{environment}"
    project.rename(folder / "moved")
    (folder / environment).rmdir()
    (folder / "moved").rename(folder / environment)


def pinned(project: Path) -> str:
    """Return a project's requirement for ONNX Runtime."""
    facts = json.loads((project / "docker/environment.json").read_text(encoding="utf-8"))
    return f"onnxruntime-gpu=={facts['frameworks']['onnxruntime']['version']}"


def download(requirement: str, folder: Path) -> Path:
    """Return the wheel of a requirement for the machine with the GPU."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*command, requirement], check=True)
    return next(folder.glob("*.whl"))


def split(wheel: Path, folder: Path, size: int = PIECE_BYTES) -> None:
    """Write a file in pieces of at most `size` bytes, and a manifest with its name and its SHA-256."""
    folder.mkdir()
    digest = hashlib.sha256()
    names = []
    with wheel.open("rb") as file:
        while piece := file.read(size):
            digest.update(piece)
            names.append(f"piece-{len(names)}")
            (folder / names[-1]).write_bytes(piece)
    manifest = {"name": wheel.name, "sha256": digest.hexdigest(), "pieces": names}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tools.gpu_check.pack", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    try:
        made = pack(parser.parse_args().folder)
    except FileExistsError as error:
        sys.exit(f"gpu-check: {error.filename} already exists: remove it, or name another folder")
    except subprocess.CalledProcessError as error:
        sys.exit(f"gpu-check: pip found no wheel, see above (exit code {error.returncode})")
    print(f"Copy {made} to the machine with the GPU, then run there: python3 {made.name}/gpu_check/check.py")
