"""Prepare a GPU check: a folder with projects, scripts, and wheels in pieces.

python -m tools.gpu_check.pack FOLDER          the wheel of ONNX Runtime; the machine has PyTorch
python -m tools.gpu_check.pack FOLDER --all    every package of `full` (3.4 GB); the machine has Python alone
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
from typing import Any

from compatibility.index import UV
from tools.generate import generate

LINE = "cu13-py312"
ENVIRONMENTS = ("inference", "training", "full")
PYTHON = "3.12"  # of the machine with the GPU
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)), "manylinux2014_x86_64")
PIECE_BYTES = 60_000_000


def pack(folder: Path, everything: bool = False) -> Path:
    """Write what the check needs into `folder`, which must not exist, and return it.

    The wheels' pieces are in `pieces/`, so that each can be copied alone.
    Raises OSError if the folder exists or cannot be made, CalledProcessError if there are no such packages.
    """
    folder.mkdir(parents=True)
    for name in ENVIRONMENTS:
        generate_environment(name, folder / "projects")
    shutil.copytree(Path(__file__).parent, folder / "gpu_check", ignore=shutil.ignore_patterns("__pycache__"))
    full = folder / "projects" / "full"
    with tempfile.TemporaryDirectory() as scratch:
        wheels = download(resolved(full) if everything else pinned(full), Path(scratch))
        split(wheels, folder / "pieces")
    return folder


def generate_environment(environment: str, folder: Path) -> None:
    """Generate the project of an environment, under its name, without hooks."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        answers = {"project": f"gpu-{environment}", "environment": environment, "cuda": LINE}
        generate(Path(scratch), **answers).rename(folder / environment)


def pinned(project: Path) -> str:
    """Return a project's requirement for ONNX Runtime."""
    facts = json.loads((project / "docker/environment.json").read_text(encoding="utf-8"))
    return f"onnxruntime-gpu=={facts['frameworks']['onnxruntime']['version']}\n"


def resolved(project: Path) -> str:
    """Return all requirements of a project for a GPU and of its tests, in today's versions.

    Not from the project's folder, as compatibility.full: its overrides have markers of `uv lock`.
    """
    command = [UV, "pip", "compile", "--quiet", "--generate-hashes", "--extra", "nvidia"]
    command += ["--python-version", PYTHON, "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--group", f"{project}/pyproject.toml:test", f"{project}/pyproject.toml"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def download(requirements: str, folder: Path) -> list[Path]:
    """Return the wheels of requirements for the machine with the GPU."""
    file = folder / "requirements.txt"
    file.write_text(requirements)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    command += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*command, "--requirement", str(file)], check=True)
    return sorted(folder.glob("*.whl"))


def split(wheels: list[Path], folder: Path, size: int = PIECE_BYTES, python: str = PYTHON) -> None:
    """Write the wheels, one behind the other, in pieces of at most `size` bytes, and a manifest.

    The manifest has their Python, each wheel's name, size in bytes and SHA-256, and the pieces' names.
    """
    folder.mkdir()
    manifest: dict[str, Any] = {"python": python, "wheels": [], "pieces": []}
    piece = None
    for wheel in wheels:
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            manifest["wheels"].append({"name": wheel.name, "bytes": file.tell(), "sha256": digest})
            file.seek(0)
            while data := file.read(size - piece.tell() if piece else size):
                if piece is None:
                    piece = (folder / f"piece-{len(manifest['pieces'])}").open("wb")
                    manifest["pieces"].append(Path(piece.name).name)
                piece.write(data)
                if piece.tell() == size:
                    piece.close()
                    piece = None
    if piece:
        piece.close()
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m tools.gpu_check.pack", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="PyTorch and all other packages, too (3.4 GB)")
    chosen = parser.parse_args()
    try:
        made = pack(chosen.folder, chosen.all)
    except FileExistsError as error:
        sys.exit(f"gpu-check: {error.filename} already exists: remove it, or name another folder")
    except OSError as error:
        sys.exit(f"gpu-check: {error.filename}: {error.strerror}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"gpu-check: no package, see above (exit code {error.returncode} of {error.cmd[0]})")
    print(f"Copy {made} to the machine with the GPU, then run there: python3 {made.name}/gpu_check/check.py")
