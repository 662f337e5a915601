"""Find out where a project comes from: the template's address, its version, the answers.

The README of the project has them, so that its owner can copy the command that links it to the template.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cookiecutter.config import BUILTIN_ABBREVIATIONS
from cookiecutter.repository import expand_abbreviations

TEMPLATE = Path(__file__).resolve().parent.parent
# What git can clone, on a machine other than this one, and what is safe in Markdown and in a shell.
ADDRESS = re.compile(r"(https?|ssh)://[\w.@:~%/+-]+|[\w.-]+@[\w.-]+:[\w.~/+-]+", re.ASCII)
# Forges that show a file of a commit at ADDRESS/blob/COMMIT/FILE.
BLOB_HOSTS = ("https://github.com/", "https://gitlab.com/")


@dataclass(frozen=True)
class Origin:
    """Where a project comes from, as its README tells."""

    address: str  # of the template's repository; empty for a folder of this machine or an archive
    version: str  # of the template, by its pyproject.toml
    checkout: str  # the commit, or the version where there is no repository
    answers: dict[str, Any]  # those that are not the defaults

    @property
    def link_command(self) -> str:
        """Return the command that tells cruft which template, version and answers made the project."""
        template = self.address or "URL-OF-THE-TEMPLATE"
        command = f"uvx cruft link {template} --checkout {self.checkout} --default-config --no-input"
        return command + (f" --extra-context {shlex.quote(json.dumps(self.answers))}" if self.answers else "")

    def page(self, name: str) -> str:
        """Return a link to a file of the template; without an address its name alone."""
        site = self.address.removesuffix(".git")
        if site.startswith(BLOB_HOSTS):
            return f"[{name}]({site}/blob/{self.checkout}/{name})"
        return f"`{name}`"


def origin(answers: Mapping[str, Any]) -> Origin:
    """Return the origin of the project that has these answers: the filter `origin`."""
    return Origin(
        address=address(str(answers.get("_template") or "")),
        version=version(),
        checkout=commit() or version(),
        answers=changed(answers),
    )


def address(template: str) -> str:
    """Return a URL that works on other machines, without account and password; empty where there is none."""
    url = expand_abbreviations(template, BUILTIN_ABBREVIATIONS).removeprefix("git+")
    url = re.sub(r"^(https?://)[^/]*@", r"\1", url)
    url = re.sub(r"^(ssh://[^/@:]*):[^/]*@", r"\1@", url)
    return url if ADDRESS.fullmatch(url) and not url.lower().endswith(".zip") else ""


def changed(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers to questions that differ from the template's defaults."""
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    defaults = {name: value[0] if isinstance(value, list) else value for name, value in questions.items()}
    asked = {name: value for name, value in defaults.items() if not name.startswith("_")}
    return {name: answers[name] for name, value in asked.items() if answers[name] != value}


@cache
def version() -> str:
    """Return the version in the template's pyproject.toml."""
    text = (TEMPLATE / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'(?m)^version = "(.+)"$', text)[0]


@cache
def commit() -> str:
    """Return the template's commit, in 12 digits; empty where it is no repository or there is no git.

    The commit, not a tag: a tag that is made later would change what `cruft update` compares.
    """
    if not (TEMPLATE / ".git").exists():
        return ""
    command = ["git", f"--git-dir={TEMPLATE / '.git'}", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
