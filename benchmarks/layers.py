"""Which layers of an image are new, and what of them a push sends."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from engines.engine import Engine
from engines.steps import EngineError

MB = 1_000_000
GZIP = 31  # zlib's name for the format in which an engine pushes a layer
CHUNK = 1 << 20


@dataclass(frozen=True)
class Layers:
    """Some layers: their MB as they are, and compressed."""

    unpacked: float
    pushed: float


def layers_of(engine: Engine, image: str) -> list[str]:
    """Return the digests of an image's layers, the lowest first."""
    return json.loads(engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))


def new_layers(engine: Engine, image: str, before: list[str], folder: Path) -> Layers:
    """Return what an image has and the one before it had not: what a push of it sends.

    `before` has the digests of that one; `folder` takes the image for a moment. Raises EngineError.
    """
    archive = folder / "image.tar"
    save = ["docker", "save", "--output", str(archive), image]
    done = subprocess.run(save, env=engine.environment(), capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"{image} cannot be saved: {done.stderr.strip()}")
    try:
        with tarfile.open(archive) as files:
            (manifest,) = json.load(files.extractfile("manifest.json"))
            named = zip(layers_of(engine, image), manifest["Layers"], strict=True)
            sizes = [compressed(files, name) for digest, name in named if digest not in before]
    finally:
        archive.unlink()
    return Layers(sum(size for size, _ in sizes) / MB, sum(size for _, size in sizes) / MB)


def compressed(files: tarfile.TarFile, name: str) -> tuple[int, int]:
    """Return the bytes of a layer, as it is and compressed."""
    layer, packer = files.extractfile(name), zlib.compressobj(wbits=GZIP)
    size = packed = 0
    while chunk := layer.read(CHUNK):
        size += len(chunk)
        packed += len(packer.compress(chunk))
    return size, packed + len(packer.flush())
