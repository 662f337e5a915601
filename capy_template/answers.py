"""Checks of the answers, as Jinja filters: each returns what the files need of an answer, or refuses it.

A hook would be too late: it runs inside the project folder that the answers named, and its failure
reaches the user as a traceback. An error raised while the answers are rendered is one line, and no
file or folder exists yet. (Tried with cookiecutter 2.7.1: a `project` of `a/b` that a pre_gen hook
refuses leaves the folder `a` behind.)
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cookiecutter.exceptions import FailedHookException

RESERVED_NAMES = Path(__file__).with_name("reserved-names.txt")
LONGEST = 50


def reserved_names() -> frozenset[str]:
    """Return the names of packages that a project cannot have, apart from Python's own."""
    lines = RESERVED_NAMES.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def package_name(project: str) -> str:
    """Return the Python package for the answer `project`: `my-project` gives `my_project`.

    Raises FailedHookException, which cookiecutter prints as one line, when the name is not at once
    a folder, an image repository, a Compose project and a Python package.
    """
    require_text("project", project)
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", project) or len(project) > LONGEST:
        raise refusal(
            project, f"it takes up to {LONGEST} lower-case letters, digits and single - or _, a letter first"
        )
    if is_taken(project):
        raise refusal(project, "Python, or this project, already has something of that name")
    return project.replace("-", "_")


def require_text(name: str, answer: object) -> None:
    """Raise FailedHookException where an answer of a configuration or replay file is no text."""
    if not isinstance(answer, str):
        raise FailedHookException(f"{name} cannot be used: it is no text. Nothing was written")


def is_taken(project: str) -> bool:
    """Return whether a package of that name would hide something else, or depend on itself."""
    package = project.replace("-", "_")
    return keyword.iskeyword(package) or package in sys.stdlib_module_names | reserved_names()


def refusal(project: str, reason: str) -> FailedHookException:
    """Return the one line that names the answer, the reason and a name that would do."""
    slug = re.sub(r"[^a-z0-9]+", "-", project.lower()).lstrip("-0123456789")
    slug = slug[: LONGEST - len("my-")].rstrip("-") or "project"
    shown = project if len(project) <= LONGEST else project[:LONGEST] + "…"
    return FailedHookException(
        f"project={shown!r} cannot be used: {reason}. "
        f"Nothing was written; try project={'my-' * is_taken(slug)}{slug}"
    )


def index_url(answer: str) -> str:
    """Return the URL of the private index without a slash at its end, empty where there is none.

    Raises FailedHookException, which quotes nothing of an answer that may hold a password.
    """
    require_text("private_index", answer)
    url = answer.strip().rstrip("/")
    if "@" in url:
        reason = (
            "it holds an account or a password, and cookiecutter keeps answers in clear text. Give the URL "
            "alone; account and password come later, as PYPI_ACCOUNT and PYPI_PASSWORD"
        )
    elif url and not url.startswith(("http://", "https://")):
        reason = "it must begin with http:// or https://"
    elif {"?", "#"} & set(url):
        reason = "it has a query or a fragment; most URLs of an index end in /simple"
    elif url and not re.fullmatch(
        r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?(/[\w.~%+-]+)*", url, re.A | re.I
    ):
        reason = "it is not of the form https://pypi.example.com/simple"
    elif has_no_port(url):
        reason = "its port is not from 1 to 65535"
    else:
        return url
    raise FailedHookException(f"private_index cannot be used: {reason}. Nothing was written")


def has_no_port(url: str) -> bool:
    """Return whether the port in a URL is none."""
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True


def private_packages(answers: Mapping[str, str]) -> list[str]:
    """Return the names of the private packages, each once, as an index normalises them.

    Raises FailedHookException for one that is no name, or that the project has from elsewhere.
    """
    require_text("private_packages", answers["private_packages"])
    listed = [name.strip() for name in answers["private_packages"].split(",")]
    names = [re.sub(r"[-_.]+", "-", name).lower() for name in listed if name]
    if names and not index_url(answers["private_index"]):
        reason = "private_index, where they would come from, is empty"
        raise FailedHookException(f"private_packages cannot be used: {reason}. Nothing was written")
    for name, written in zip(names, filter(None, listed), strict=True):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) or len(name) > LONGEST:
            reason = "a name has letters, digits and single - _ or ., and no version; commas between names"
        elif name == answers["project"].replace("_", "-"):
            reason = "that is the project itself"
        elif name.replace("-", "_") in reserved_names():
            reason = "the project has a public package, or something else, of that name"
        else:
            continue
        shown = written if len(written) <= LONGEST else written[:LONGEST] + "…"
        raise FailedHookException(
            f"private_packages: {shown!r} cannot be used: {reason}. Nothing was written"
        )
    return list(dict.fromkeys(names))
