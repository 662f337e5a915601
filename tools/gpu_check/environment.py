"""Make the check's Python environment: the machine's own packages, or none, and the wheels in the pieces."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any


class CannotCheck(Exception):
    """An error that the user can fix; the message is one line."""


# Files that the image leaves out, too (docker/sync.sh); no program needs them.
LEFT_OUT = ("triton/**/*.a", "nvidia/**/libnvrtc*.alt.so.*")


def manifest(pieces: Path) -> dict[str, Any]:
    """Return what the pieces make. Raises CannotCheck."""
    file = pieces / "manifest.json"
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise CannotCheck(f"{error.filename} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CannotCheck(f"{file} is damaged: copy it here again") from None


def has_everything(pieces: Path) -> bool:
    """Return whether PyTorch is among the wheels, so that the machine needs to have no package."""
    try:
        return any(wheel["name"].startswith("torch-") for wheel in manifest(pieces)["wheels"])
    except CannotCheck:
        return False


def put_together(pieces: Path, folder: Path) -> list[Path]:
    """Return the wheels made of the pieces.

    Raises CannotCheck if a piece is missing or of another wheel, or if they are for another Python.
    """
    expected = manifest(pieces)
    if expected["python"] != (this := f"{sys.version_info.major}.{sys.version_info.minor}"):
        raise CannotCheck(
            f"the pieces are for Python {expected['python']}; this is {this}: PYTHON=… names another"
        )
    if missing := [name for name in expected["pieces"] if not (pieces / name).is_file()]:
        raise CannotCheck(f"{pieces} lacks {', '.join(missing)}: copy it here, too")
    folder.mkdir(parents=True, exist_ok=True)
    stream, data, wheels = ((pieces / name).read_bytes() for name in expected["pieces"]), b"", []
    for wheel in expected["wheels"]:
        wheels.append(folder / wheel["name"])
        digest, left = hashlib.sha256(), wheel["bytes"]
        with wheels[-1].open("wb") as file:
            while left and (data := data or next(stream, b"")):
                now, data = data[:left], data[left:]
                digest.update(now)
                left -= file.write(now)
        if digest.hexdigest() != wheel["sha256"]:
            raise CannotCheck(f"the pieces in {pieces} do not make {wheel['name']}: copy them again")
    return wheels


def make(folder: Path, linked: bool = True) -> None:
    """Make an environment, by default with this Python's packages except ONNX Runtime.

    This Python is not changed: the packages are hard links, or copies on another file system.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    target = packages_of(folder)
    for packages in map(Path, site.getsitepackages() if linked else []):  # the first one wins, as for Python
        if packages.is_dir():
            copy(packages, target)
    for other in target.glob("onnxruntime*"):
        shutil.rmtree(other) if other.is_dir() else other.unlink()
    leave_out(target)


def add(folder: Path, wheels: list[Path]) -> None:
    """Unpack wheels into an environment, on all cores."""
    target = packages_of(folder)

    def unpack(archive: zipfile.ZipFile) -> None:
        archive.extractall(target)

    with ExitStack() as opened, ThreadPoolExecutor() as threads:
        archives = [opened.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
        # zipfile fails if two threads make the same folder, and NVIDIA's wheels share theirs
        for parent in {target.joinpath(name).parent for archive in archives for name in archive.namelist()}:
            parent.mkdir(parents=True, exist_ok=True)
        list(threads.map(unpack, archives))
    leave_out(target)


def packages_of(folder: Path) -> Path:
    """Return an environment's folder of packages."""
    return next(folder.glob("lib/python3*/site-packages"))


def leave_out(packages: Path) -> None:
    """Remove what the image does not have either."""
    for pattern in LEFT_OUT:
        for file in packages.glob(pattern):
            file.unlink()


def copy(packages: Path, target: Path) -> None:
    """Copy a folder's contents, as hard links if the file system allows it."""
    command = ["cp", "--archive", "--no-clobber"]
    for option in (["--link"], []):
        if subprocess.run([*command, *option, f"{packages}/.", target], capture_output=True).returncode == 0:
            return
    raise CannotCheck(f"{packages} cannot be copied to {target}: is the disk full?")


def libraries(environment: Path) -> str:
    """Return LD_LIBRARY_PATH with the folders of NVIDIA's libraries in the packages."""
    folders = sorted(environment.glob("lib/python3*/site-packages/nvidia/*/lib"))
    own = os.environ.get("LD_LIBRARY_PATH", "").split(":")  # some machines have the driver's libraries there
    return ":".join([*map(str, folders), *filter(None, own)])
