"""Jinja extension for cookiecutter.json: checks the answers before anything is written.

A hook would be too late for that: it runs inside the project folder that the answers named, and
its failure reaches the user as a traceback. An error raised while the answers are rendered is one
line, and no file or folder exists yet. (Tried with cookiecutter 2.7.1: a `project` of `a/b` that a
pre_gen hook refuses leaves the folder `a` behind.)
"""

from __future__ import annotations

import keyword
import re
import sys

import cookiecutter
from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension

# Names that the project itself imports or runs: a package of that name would hide them.
TAKEN = {"cv2", "numpy", "onnxruntime", "pip", "pytest", "ruff", "script", "tests", "uv"}


def package_name(project: str) -> str:
    """Return the Python package for the answer `project`: `my-project` gives `my_project`.

    Raises FailedHookException, which cookiecutter prints as one line, when the name is not at once
    a folder, an image repository, a Compose project and a Python package.
    """
    package = project.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", project) or len(project) > 50:
        slug = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-0123456789")[:50].strip("-")
        refuse(
            project,
            "it takes up to 50 lower-case letters, digits and single - or _, a letter first",
            slug or "my-project",
        )
    if keyword.iskeyword(package) or package in sys.stdlib_module_names | TAKEN:
        refuse(project, "Python code already imports or runs something of that name", f"my-{project}")
    return package


def refuse(project: str, reason: str, suggestion: str) -> None:
    """Raise the one line that names the answer, the reason and a way out."""
    raise FailedHookException(
        f"project={project!r} cannot be used: {reason}. Nothing was written; try project={suggestion}"
    )


class Answers(Extension):
    """Gives cookiecutter.json the filters above."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # 2.6 passes github_actions=no on as a text, which is true
        if tuple(map(int, cookiecutter.__version__.split(".")[:2])) < (2, 7):
            raise FailedHookException(
                f"cookiecutter {cookiecutter.__version__} is too old; this template needs 2.7 or newer: "
                "pip install --upgrade cookiecutter"
            )
        environment.filters["package_name"] = package_name
