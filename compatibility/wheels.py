"""Read a wheel or a source distribution: its libraries, what they need, and the PyTorch it requires.

Only a wheel's list of files, its metadata and its compiled files are downloaded, once.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from dataclasses import dataclass, field
from email.parser import HeaderParser
from typing import Any
from urllib.parse import unquote

import requests
from packaging.requirements import InvalidRequirement
from remotezip import RemoteZip, RemoteZipError

from compatibility import elf
from compatibility.cache import JsonCache
from compatibility.index import SECONDS, CannotCheck, Index
from compatibility.requirements import parse_requirement

VERSION = 4  # of the cache: entries of another version are read again
LIBRARY = re.compile(r".*\.so(\.\d+)*$")
# Files that two packages must not both have: the later one overwrites the other's.
SHARED = re.compile(r"(.*\.so(\.\d+)*|[^/]+/__init__\.py|[^/]+\.py)$")
OPENED = re.compile(r"""find_library\(\s*['"]([\w-]+)['"]""")
SETUP = re.compile(r"[^/]+/setup\.py")
COMPILED = (".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".pyx", ".rs", ".go")
BIGGEST = 128_000_000  # compressed bytes of a compiled file that is still read
SMALL_WHEEL = 1_500_000  # a pure-Python wheel of this size is searched for find_library


@dataclass(frozen=True)
class Contents:
    """The contents of one distribution file."""

    shared: dict[str, int] = field(default_factory=dict)  # paths that two packages may both write: checksum
    libraries: list[str] = field(default_factory=list)  # paths of shared libraries and extension modules
    needed: dict[str, list[str]] = field(default_factory=dict)  # by path, for those that were read
    torch_names: list[str] = field(default_factory=list)  # paths that use C++ functions of PyTorch
    unread: list[str] = field(default_factory=list)  # compiled files that are too large
    torch: str | None = None  # what it requires of PyTorch: ==2.11.0
    opened: list[str] = field(default_factory=list)  # what its Python code opens by find_library
    source: str = ""  # of a source distribution: python, compiled or cuda


@dataclass(frozen=True)
class Reader:
    """Read distribution files of an index, with a cache."""

    index: Index
    cache: JsonCache

    def contents(self, url: str, deep: bool = True) -> Contents:
        """Return the contents of a file; without `deep`, only the list of files. Raises CannotCheck."""
        name = file_name(url)
        read = self._wheel if name.endswith(".whl") else self._source
        answer = self.cache.get(f"contents {VERSION} {name} {deep}", lambda: read(url, deep))
        return Contents(**answer)

    def _wheel(self, url: str, deep: bool) -> dict[str, Any]:
        try:
            with RemoteZip(url, session=self.index.session, timeout=SECONDS) as archive:
                return self._members(url, archive, deep)
        except (requests.RequestException, RemoteZipError, zipfile.BadZipFile) as error:
            raise self._unreachable(url, error) from None

    def _members(self, url: str, archive: zipfile.ZipFile, deep: bool) -> dict[str, Any]:
        members = [item for item in archive.infolist() if not item.is_dir()]
        found: dict[str, Any] = {
            "shared": {
                installed(item.filename): item.CRC
                for item in members
                if item.file_size and SHARED.fullmatch(installed(item.filename))
            },
            "libraries": sorted(installed(item.filename) for item in members if LIBRARY.match(item.filename)),
        }
        if not deep:
            return found
        metadata = next(item for item in members if re.fullmatch(r"[^/]+\.dist-info/METADATA", item.filename))
        found["torch"] = torch_requirement(archive.read(metadata).decode(errors="replace"))
        found.update({"needed": {}, "torch_names": [], "unread": []})
        for item in members:
            if not LIBRARY.match(item.filename):
                continue
            path = installed(item.filename)
            if item.compress_size > BIGGEST:
                found["unread"].append(path)
                continue
            try:
                about = elf.read(archive.read(item))
            except elf.NotElf:
                continue
            found["needed"][path] = list(about.needed)
            found["torch_names"] += [path] * about.torch_names
        if not found["libraries"] and sum(item.compress_size for item in members) <= SMALL_WHEEL:
            found["opened"] = self._opened(url)
        return found

    def _opened(self, url: str) -> list[str]:
        with zipfile.ZipFile(io.BytesIO(self._download(url))) as archive:
            texts = [archive.read(name) for name in archive.namelist() if name.endswith(".py")]
        return sorted({name for text in texts for name in OPENED.findall(text.decode(errors="replace"))})

    def _source(self, url: str, deep: bool) -> dict[str, Any]:
        data = self._download(url)
        try:
            if file_name(url).endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    names = archive.namelist()
                    setup = [archive.read(name) for name in names if SETUP.fullmatch(name)]
            else:
                with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    names = archive.getnames()
                    setup = [archive.extractfile(name).read() for name in names if SETUP.fullmatch(name)]
        except (tarfile.TarError, zipfile.BadZipFile) as error:
            raise self._unreachable(url, error) from None
        kind = "python"
        if any(name.endswith(COMPILED) and "/test" not in name for name in names):
            kind = "compiled"
        if any(b"CUDAExtension" in text for text in setup):  # PyTorch's way to compile for a GPU
            kind = "cuda"
        return {"source": kind}

    def _download(self, url: str) -> bytes:
        """Return a whole file: a small wheel, or the only form of a package without wheels."""
        try:
            answer = self.index.session.get(url, timeout=SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise self._unreachable(url, error) from None
        return answer.content

    def _unreachable(self, url: str, error: object) -> CannotCheck:
        return CannotCheck(f"{file_name(url)} cannot be read from the index: {' '.join(str(error).split())}")


def file_name(url: str) -> str:
    """Return the name of a distribution file."""
    return unquote(url.partition("#")[0].rpartition("/")[2])


def installed(path: str) -> str:
    """Return the path where a wheel's file is installed; purelib and platlib are the same folder."""
    return re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", path)


def torch_requirement(metadata: str) -> str | None:
    """Return the PyTorch version that a package requires: "" for any, None without a requirement."""
    for text in HeaderParser().parsestr(metadata).get_all("Requires-Dist", []):
        try:
            wanted = parse_requirement(text)
        except InvalidRequirement:  # of an old package, which uv accepts
            continue
        if wanted.name == "torch" and "extra" not in str(wanted.marker or ""):
            return str(wanted.specifier)
    return None
