"""Read the facts of this image, and derive advice from them."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Written by the template; beside this folder, also in the image.
ENVIRONMENT = Path(__file__).resolve().parent.parent / "environment.json"

VENV = Path(os.environ.get("UV_PROJECT_ENVIRONMENT") or "/opt/venv")

REBUILD = (
    "docker compose build (if there is a uv.lock, first: docker compose run --rm app uv lock; "
    "without an image yet, move uv.lock away)"
)
OWN_IMAGE = "leave BASE_IMAGE in .env empty; docker compose build"
WITHOUT_GPU = "to run without a GPU: ACCELERATOR=cpu in .env; docker compose build"


@dataclass
class Facts:
    """The content of environment.json, ACCELERATOR, and whether the image is being built."""

    environment: str
    line: str
    cuda: int
    cudnn: int
    cuda_from: str  # image, wheels or ngc
    minimum_driver: str
    minimum_python: str
    shared_memory_mib: int | None
    packages: list[str]  # of every accelerator
    cuda_packages: list[str]  # those that pyproject.toml names itself
    frameworks: dict[str, dict]
    lines_with_cuda: dict[str, list[str]]  # by processor
    accelerator: str
    building: bool = False
    scanned: Any = field(default=None, repr=False)  # the shared objects, once a check needs them

    @property
    def on_gpu(self) -> bool:
        """Return whether the image is for a GPU."""
        return self.accelerator == "nvidia"

    def other_project(self, below: int = 100) -> list[str]:
        """Return the advice to use a line with a CUDA below this one; empty if there is none."""
        lines = [
            f"cuda={line}"
            for line in self.lines_with_cuda.get(platform.machine(), [])
            if line != self.line and int(line[2:4]) < below
        ]
        return [f"generate the project again with {' or '.join(lines)}"] * bool(lines)


def read_facts(building: bool) -> Facts:
    """Read environment.json and ACCELERATOR. Raises ValueError if one of them is invalid."""
    accelerator = os.environ.get("ACCELERATOR") or "nvidia"
    if accelerator not in ("nvidia", "cpu"):
        raise ValueError(f"ACCELERATOR={accelerator} is unknown here; use nvidia or cpu")
    try:
        facts = json.loads(ENVIRONMENT.read_text(encoding="utf-8"))
        return Facts(**facts, accelerator=accelerator, building=building)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).removeprefix("Facts.__init__() ").replace("positional argument", "key")
        raise ValueError(
            f"{ENVIRONMENT} cannot be used: {reason}. "
            "Correct docker/environment.json of the project; docker compose build"
        ) from error
