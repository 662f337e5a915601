"""Pin PyTorch's companions in a resolution, and make stand-ins for its CPU builds."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from compatibility.facts import COMPANIONS, METADATA, Line

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OF_CUDA = re.compile(r"Requires-Dist: (nvidia-|cuda-|triton\b)")


def with_companions(line: Line, text: str, names: tuple[str, ...]) -> str:
    """Return a pyproject.toml with some of PyTorch's companions added to both extras."""
    torch = f'"torch=={line.value("torch")}",'
    source = '[{ index = "pytorch-cpu", extra = "cpu" }]'
    for name in names:
        if re.search(rf'"{name}==', text):
            continue
        pinned = f'"{name}=={line.value(name)}",'
        text = text.replace(torch, f"{torch}\n  {pinned}")
        text = text.replace(f"\ntorch = {source}", f"\ntorch = {source}\n{name} = {source}")
    return text


def stand_in(line: Line, folder: Path) -> None:
    """Write CPU wheels of PyTorch and its companions that have metadata only."""
    folder.mkdir()
    pinned = {"torch": line.value("torch"), **{name: line.value(name) for name in COMPANIONS}}
    for name, version in pinned.items():
        metadata = line.index.read(line.index.wheel(name, version, line.target()), METADATA)
        header = metadata.replace("\r\n", "\n").partition("\n\n")[0]
        lines = [text for text in header.splitlines() if not OF_CUDA.match(text)]
        lines = [f"Version: {version}+cpu" if text.startswith("Version:") else text for text in lines]
        # a wheel for each Python of the line, whatever the newest wheel supports
        python = f"Requires-Python: >={line.value('lowest_python')}"
        lines = [python if text.startswith("Requires-Python:") else text for text in lines]
        base = f"{name}-{version}+cpu"
        with zipfile.ZipFile(folder / f"{base}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{base}.dist-info/METADATA", "\n".join(lines) + "\n")
            archive.writestr(
                f"{base}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{base}.dist-info/RECORD", "")
