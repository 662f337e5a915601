"""Check the answers in Jinja filters, which return the value that the files need.

Not in a hook: it runs when the project folder exists, and its error reaches the user as a traceback.
An error in a filter is printed as one line, before any file exists. (cookiecutter 2.7.1: a pre_gen
hook that refuses `project=a/b` leaves the folder `a` behind.)
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
    """Return the package names that a project cannot use, without those of Python itself."""
    lines = RESERVED_NAMES.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def package_name(project: str) -> str:
    """Return the Python package for the answer `project`: `my_project` for `my-project`.

    Raises FailedHookException, which cookiecutter prints as one line, unless the name is valid for a
    folder, an image, a Compose project and a Python package.
    """
    require_text("project", project)
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", project) or len(project) > LONGEST:
        raise refusal(
            project, f"use up to {LONGEST} lower-case letters, digits and single - or _, a letter first"
        )
    if is_taken(project):
        raise refusal(project, "Python or this project already uses that name")
    return project.replace("-", "_")


def require_text(name: str, answer: object) -> None:
    """Raise FailedHookException if an answer of a configuration or replay file is not text."""
    if not isinstance(answer, str):
        raise FailedHookException(f"{name} cannot be used: it is not text. Nothing was written")


def is_taken(project: str) -> bool:
    """Return whether a package of that name would hide another one, or depend on itself."""
    package = project.replace("-", "_")
    return keyword.iskeyword(package) or package in sys.stdlib_module_names | reserved_names()


def refusal(project: str, reason: str) -> FailedHookException:
    """Return the error for an answer: one line with the reason and a valid name."""
    slug = re.sub(r"[^a-z0-9]+", "-", project.lower()).lstrip("-0123456789")
    slug = slug[: LONGEST - len("my-")].rstrip("-") or "project"
    shown = project if len(project) <= LONGEST else project[:LONGEST] + "…"
    return FailedHookException(
        f"project={shown!r} cannot be used: {reason}. "
        f"Nothing was written; try project={'my-' * is_taken(slug)}{slug}"
    )


def index_url(answer: str) -> str:
    """Return the URL of the private index without a trailing slash, "" if there is none.

    Raises FailedHookException, which does not quote the answer: it may contain a password.
    """
    require_text("private_index", answer)
    url = answer.strip().rstrip("/")
    if "@" in url:
        reason = (
            "it has an account or a password, and cookiecutter stores answers in clear text. Enter the URL "
            "alone; set PYPI_ACCOUNT and PYPI_PASSWORD in .env of the project"
        )
    elif url and not url.startswith(("http://", "https://")):
        reason = "it must begin with http:// or https://"
    elif {"?", "#"} & set(url):
        reason = "it has a query or a fragment; most URLs of an index end in /simple"
    elif url and not is_url(url):
        reason = "it is not of the form https://pypi.example.com/simple"
    elif has_no_port(url):
        reason = "its port is not from 1 to 65535"
    else:
        return url
    raise FailedHookException(f"private_index cannot be used: {reason}. Nothing was written")


def is_url(url: str) -> bool:
    """Return whether a text is a URL of a host that can exist, with a path."""
    form = r"https?://([\w-]+(\.[\w-]+)*\.?|\[[0-9a-f:.]+\])(:\d+)?(/[\w.~%+-]+)*"
    try:
        return bool(re.fullmatch(form, url, re.A | re.I) and urlsplit(url).hostname)
    except ValueError:  # what is in brackets is no IPv6 address
        return False


def has_no_port(url: str) -> bool:
    """Return whether the port in a URL is invalid."""
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True


def private_packages(answers: Mapping[str, str]) -> list[str]:
    """Return the normalised names of the private packages, without duplicates.

    Raises FailedHookException for an invalid name, or one that the project has from another index.
    """
    # cookiecutter renders an answer that is a dict after all others, so it is not there yet
    for name in ("private_packages", "private_index", "project"):
        require_text(name, answers.get(name))
    listed = [name.strip() for name in answers["private_packages"].split(",")]
    names = [re.sub(r"[-_.]+", "-", name).lower() for name in listed if name]
    if names and not index_url(answers["private_index"]):
        reason = "private_index is empty"
        raise FailedHookException(f"private_packages cannot be used: {reason}. Nothing was written")
    for name, written in zip(names, filter(None, listed), strict=True):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) or len(name) > LONGEST:
            reason = (
                "write names of letters, digits and single - _ or ., without versions, with commas between"
            )
        elif name == answers["project"].replace("_", "-"):
            reason = "that is the project itself"
        elif name.replace("-", "_") in reserved_names():
            reason = "the project already uses that name"
        else:
            continue
        shown = written if len(written) <= LONGEST else written[:LONGEST] + "…"
        raise FailedHookException(
            f"private_packages: {shown!r} cannot be used: {reason}. Nothing was written"
        )
    return list(dict.fromkeys(names))
