"""Generate a project of this template for a tool."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).resolve().parent.parent


def generate(folder: Path, **answers: str) -> Path:
    """Generate a project below `folder` and return it; without hooks and the user's own defaults."""
    with tempfile.TemporaryDirectory() as replay:  # not the user's own: cookiecutter writes the answers there
        made = cookiecutter(
            str(TEMPLATE),
            no_input=True,
            extra_context=answers,
            output_dir=str(folder),
            default_config={"replay_dir": replay},
            accept_hooks=False,
        )
    return Path(made)
