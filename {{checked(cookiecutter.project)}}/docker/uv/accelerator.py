{% set stack = cookiecutter | stack %}
"""Options of uv that keep the packages of ACCELERATOR."""

from __future__ import annotations

import os
{% if stack.cuda_from == 'ngc' %}
from importlib.metadata import distributions
{% endif %}


def of_accelerator({{ 'words: list[str]' if stack.cuda_from == 'ngc' }}) -> list[str]:
    """Return the options of `uv sync` that select this environment{{ ', without those in words' if stack.cuda_from == 'ngc' }}."""
    group = os.environ.get("SYNC_GROUP")
    options = [*extra(), *(["--group", group] if group else [])]
{% if stack.cuda_from == 'ngc' %}
    # Keep the packages of NVIDIA's image. Inexact: uv removes packages that it must not install.
    names = {distribution.metadata["Name"] for distribution in distributions()} - {None}
    if "opencv" in names:  # NVIDIA's build of OpenCV; PyPI's would overwrite half of it
        names.add("opencv-python-headless")
    options += [] if "--inexact" in words else ["--inexact"]
    options += [f"--no-install-package={name}" for name in sorted(names)]
{% endif %}
    return options


def extra() -> list[str]:
    """Return the option of uv that selects the packages of ACCELERATOR."""
    return ["--extra", os.environ.get("ACCELERATOR") or "nvidia"]
