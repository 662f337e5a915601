"""The check's Python environment: the machine's own packages, and the ONNX Runtime that was carried here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path


class CannotCheck(Exception):
    """Something that the reader can mend; the message is one line."""


# What the image leaves out, too (docker/sync.sh): nothing may need it.
LEFT_OUT = ("triton/**/*.a", "nvidia/**/libnvrtc*.alt.so.*")


def put_together(pieces: Path, folder: Path) -> Path:
    """Return the wheel that the pieces make. Raises CannotCheck where one is missing or is another one's."""
    try:
        manifest = json.loads((pieces / "manifest.json").read_text())
    except OSError as error:
        raise CannotCheck(f"{error.filename} cannot be read: {error.strerror}") from None
    missing = [name for name in manifest["pieces"] if not (pieces / name).is_file()]
    if missing:
        raise CannotCheck(f"{pieces} lacks {', '.join(missing)}: copy it here, too")
    folder.mkdir(parents=True, exist_ok=True)
    wheel, digest = folder / manifest["name"], hashlib.sha256()
    with wheel.open("wb") as file:
        for name in manifest["pieces"]:
            data = (pieces / name).read_bytes()
            digest.update(data)
            file.write(data)
    if digest.hexdigest() != manifest["sha256"]:
        raise CannotCheck(f"the pieces in {pieces} do not make {manifest['name']}: copy them again")
    return wheel


def make(folder: Path) -> None:
    """Make an environment with this Python's packages, apart from ONNX Runtime.

    This Python stays as it is: its packages are hard links, or copies on another file system.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    target = next(folder.glob("lib/python3*/site-packages"))
    for packages in map(Path, site.getsitepackages()):  # the first one wins, as it does for Python
        if packages.is_dir():
            copy(packages, target)
    for other in target.glob("onnxruntime*"):
        shutil.rmtree(other) if other.is_dir() else other.unlink()
    for pattern in LEFT_OUT:
        for file in target.glob(pattern):
            file.unlink()


def add(folder: Path, wheel: Path) -> None:
    """Unpack a wheel into an environment."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(next(folder.glob("lib/python3*/site-packages")))


def copy(packages: Path, target: Path) -> None:
    """Copy a folder's contents, as hard links where the file system has them."""
    command = ["cp", "--archive", "--no-clobber"]
    for option in (["--link"], []):
        if subprocess.run([*command, *option, f"{packages}/.", target], capture_output=True).returncode == 0:
            return
    raise CannotCheck(f"{packages} cannot be copied to {target}: is the disk full?")


def libraries(environment: Path) -> str:
    """Return the folders of NVIDIA's libraries among the packages, as LD_LIBRARY_PATH has them."""
    folders = sorted(environment.glob("lib/python3*/site-packages/nvidia/*/lib"))
    own = os.environ.get("LD_LIBRARY_PATH", "").split(":")  # where some machines have the driver's libraries
    return ":".join([*map(str, folders), *filter(None, own)])
