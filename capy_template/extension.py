"""Define the Jinja extension of cookiecutter.json: its filters, and a check for Jinja in answers."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path

import cookiecutter
from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension

from capy_template.answers import index_url, package_name, private_packages
from capy_template.final_check import checked, refuse_other_syntax
from capy_template.matrix import chosen
from capy_template.origin import origin

TEMPLATE = Path(__file__).resolve().parent.parent


class CapyTemplate(Extension):
    """Add the filters that cookiecutter.json and the template's files use."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # 2.6 passes github_actions=no as a text, which is true
        if tuple(map(int, cookiecutter.__version__.split(".")[:2])) < (2, 7):
            raise FailedHookException(
                f"cookiecutter {cookiecutter.__version__} is too old; this template needs 2.7 or newer: "
                "pip install --upgrade cookiecutter"
            )
        refuse_other_syntax(environment)
        environment.globals["checked"] = checked
        environment.filters["package_name"] = package_name
        environment.filters["index_url"] = index_url
        environment.filters["private_packages"] = private_packages
        environment.filters["stack"] = chosen
        environment.filters["origin"] = origin
        forget_modules()

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return a text that Jinja is about to render, unless it is an answer with Jinja in it.

        cookiecutter renders answers from the command line, a configuration file or a replay file, so
        an answer could run Python code. Raises FailedHookException, which does not quote the answer:
        it may contain a password.
        """
        if name is None and re.search(r"\{[{%#]", source) and not is_ours(source):
            raise FailedHookException(
                "an answer cannot be used: it contains {{, {% or {#, which cookiecutter would execute. "
                "Nothing was written"
            )
        return source


def is_ours(source: str) -> bool:
    """Return whether the Jinja in a text is the template's own: a default, the hook or a file name."""
    if source in json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8")).values():
        return True
    if source == (TEMPLATE / "hooks" / "post_gen_project.py").read_text(encoding="utf-8"):
        return True
    return all(part in own_names() for part in re.split(r"[/\\]", source) if "{" in part)


@cache
def own_names() -> set[str]:
    """Return the names of the template's files and folders that are Jinja."""
    [folder] = TEMPLATE.glob("*cookiecutter.project*")
    return {folder.name} | {path.name for path in folder.rglob("*{*")}


def forget_modules() -> None:
    """Remove the template's modules from sys.modules, so that the next rendering imports its own.

    `cruft update` renders two versions of the template in one process.
    """
    for name in [*sys.modules]:
        if name.partition(".")[0] == __package__:
            del sys.modules[name]
