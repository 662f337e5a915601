"""Query the package index with pip's and uv's settings: pages, parts of wheels, resolutions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import requests
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from pypi_simple import PYPI_SIMPLE_ENDPOINT, DistributionPackage, NoSuchProjectError, PyPISimple
from remotezip import RemoteZip, RemoteZipError
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tools.install import pip_settings

T = TypeVar("T")
UV = Path(sys.executable).with_name("uv")
SECONDS = 60
# The C library of each Ubuntu, which decides what wheels can be installed.
GLIBC_MINOR = {"22.04": 35, "24.04": 39}
OLDER_NAMES = {"x86_64": ("2014", "2010", "1"), "aarch64": ("2014",)}  # of manylinux


class CannotCheck(Exception):
    """The check could not be made, so the matrix may be right; the message is one line."""


class Outdated(Exception):
    """The index no longer has what the matrix lists; the message says what it has instead."""


@dataclass(frozen=True)
class Target:
    """A Python version, an Ubuntu release and a processor, which decide what wheels can be installed."""

    python: str
    ubuntu: str
    machine: str = "x86_64"

    def __str__(self) -> str:
        return f"Python {self.python}" + f" on {self.machine}" * (self.machine != "x86_64")

    @property
    def platform(self) -> str:
        """Return uv's name for the platform."""
        return f"{self.machine}-manylinux_2_{GLIBC_MINOR[self.ubuntu]}"

    @property
    def tags(self) -> dict[Tag, int]:
        """Return the tags of the wheels that can be installed, with their places in an installer's order."""
        return tags_of(self)


@cache
def tags_of(target: Target) -> dict[Tag, int]:
    """Return a target's tags with their places, made once: a check needs them for each wheel."""
    version = tuple(map(int, target.python.split(".")))
    minors = range(GLIBC_MINOR[target.ubuntu], 4, -1)
    names = [f"_2_{minor}" for minor in minors] + [*OLDER_NAMES[target.machine]]
    platforms = [f"manylinux{name}_{target.machine}" for name in names]
    interpreter = f"cp{version[0]}{version[1]}"
    ordered = [
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, interpreter, platforms),
    ]
    return {tag: place for place, tag in enumerate(ordered)}


@dataclass
class Index:
    """A package index; each of its pages is cached."""

    url: str
    session: requests.Session
    pages: dict[str, list[DistributionPackage]] = field(default_factory=dict)

    def files(self, name: str) -> list[DistributionPackage]:
        """Return all files of a package, none if the index does not have it. Raises CannotCheck."""
        if name not in self.pages:
            self.pages[name] = self._page(name)
        return self.pages[name]

    def _page(self, name: str) -> list[DistributionPackage]:
        try:
            page = PyPISimple(self.url, session=self.session).get_project_page(name, timeout=SECONDS)
        except NoSuchProjectError:
            return []
        except (requests.RequestException, ValueError) as error:
            raise self._unreachable(error) from None
        return page.packages

    def release(self, name: str, version: str) -> list[DistributionPackage]:
        """Return the files of one version. Raises Outdated if it was removed or yanked, and CannotCheck."""
        found = [file for file in self.files(name) if file.version == version]
        if not found:
            raise Outdated(f"{name} {version} is no longer on the index")
        yanked = [file for file in found if file.is_yanked]
        if yanked:
            raise Outdated(f"{name} {version} was yanked: {yanked[0].yanked_reason or 'no reason given'}")
        return found

    def wheel(self, name: str, version: str, target: Target) -> DistributionPackage:
        """Return the wheel of a version for a target. Raises Outdated if there is none, and CannotCheck."""
        for file in self.release(name, version):
            if serves(file, target):
                return file
        raise Outdated(f"{name} {version} has no wheel for {target}")

    def newest(self, name: str, versions: str, target: Target) -> DistributionPackage:
        """Return the newest wheel in a range (`>=2,<3`) for a target.

        Raises Outdated if there is none, and CannotCheck.
        """
        wanted = SpecifierSet(versions)
        fitting = [
            (parse_wheel_filename(file.filename)[1], file)
            for file in self.files(name)
            if not file.is_yanked and wanted.contains(file.version or "0") and serves(file, target)
        ]
        if not fitting:
            raise Outdated(f"{name}{versions} has no wheel for {target}")
        return max(fitting, key=lambda pair: pair[0])[1]

    def read(self, wheel: DistributionPackage, pattern: str) -> str:
        """Return the text of the first file in a wheel whose name matches; only that part is downloaded.

        Raises Outdated if the wheel has no such file, and CannotCheck.
        """
        return self.read_by(lambda file: file.read().decode(), wheel, pattern)

    def read_by(self, reader: Callable[[BinaryIO], T], wheel: DistributionPackage, pattern: str) -> T:
        """Return the result of `reader` on the first file in a wheel whose name matches.

        Only what it reads is downloaded. Raises Outdated if the wheel has no such file, and CannotCheck.
        """
        try:
            with RemoteZip(wheel.url, session=self.session, timeout=SECONDS) as archive:
                names = [name for name in archive.namelist() if re.fullmatch(pattern, name)]
                if not names:
                    raise Outdated(f"{wheel.filename} has no {pattern}")
                with archive.open(names[0]) as file:
                    return reader(file)
        except (requests.RequestException, RemoteZipError) as error:
            raise self._unreachable(error) from None
        except zipfile.BadZipFile as error:  # a proxy sent something else
            raise CannotCheck(f"{wheel.filename} cannot be read from the index: {error}") from None

    def resolve(self, requirements: Iterable[str], target: Target) -> list[str]:
        """Return the requirements with all dependencies, as `name==version`.

        Raises Outdated if they cannot be installed together, and CannotCheck.
        """
        options = ["--default-index", self.url, "--only-binary", ":all:"]
        options += ["--python-version", target.python, "--python-platform", target.platform]
        # nothing is built, so any Python will do: without these two uv downloads the target's
        options += ["--python", sys.executable, "--no-python-downloads"]
        options += ["--no-header", "--no-annotate", "--quiet", "--color", "never"]
        done = subprocess.run(
            [UV, "pip", "compile", "-", *options],
            input="\n".join(requirements),
            capture_output=True,
            text=True,
        )
        if done.returncode == 1:  # uv's exit code for "no solution"
            words = done.stderr.encode("ascii", "ignore").decode()  # without the lines that uv draws
            raise Outdated(" ".join(words.split()))
        if done.returncode:
            raise self._unreachable(done.stderr)
        return done.stdout.split()

    def _unreachable(self, error: object) -> CannotCheck:
        reason = without_password(" ".join(str(error).split()) or "no reason given")
        return CannotCheck(f"the package index {without_password(self.url)} gives no answer: {reason}")


def serves(file: DistributionPackage, target: Target) -> bool:
    """Return whether a file is a wheel that can be installed for this Python."""
    try:
        tags = parse_wheel_filename(file.filename)[3]
    except InvalidWheelFilename:
        return False
    fits = tags & target.tags.keys()
    return bool(fits) and SpecifierSet(file.requires_python or "").contains(target.python)


def users_index() -> Index:
    """Return the index of uv's or pip's settings, with their proxy and certificates."""
    pip = pip_settings()
    url = (
        os.environ.get("UV_DEFAULT_INDEX")
        or os.environ.get("UV_INDEX_URL")
        or pip.get("index-url", PYPI_SIMPLE_ENDPOINT)
    )
    session = requests.Session()
    retries = Retry(2, backoff_factor=0.5, status_forcelist=(502, 503, 504))
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries, pool_maxsize=16))
    if certificates := pip.get("cert") or os.environ.get("SSL_CERT_FILE"):
        session.verify = certificates
    if proxy := pip.get("proxy"):
        session.proxies = {"http": proxy, "https": proxy}
    return Index(url, session)


def without_password(text: str) -> str:
    """Return a text without user names and passwords in its addresses."""
    return re.sub(r"//[^/@\s]+@", "//", text)
