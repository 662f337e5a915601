"""Index the shared objects of the environment: their libraries, owners, and what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from .distributions import Distribution, distributions
from .elf import Elf, defines, read_elf
from .facts import VENV, Facts
from .installed import inside, outermost_package, sites
from .processes import python, run
from .requirement import required_names
from .system_packages import apt_package

# The loader searches these after its cache.
SYSTEM_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
# The container toolkit mounts these at start; a build has none of them.
DRIVER_LIBRARY = re.compile(
    r"lib(cuda|cudadebugger|nvcuvid|nvoptix|nvidia-.*)\.so\.\d+|lib\w+_nvidia\.so\.\d+"
)


class SharedObjects:
    """The shared objects below site-packages, by path."""

    def __init__(self) -> None:
        self.distributions = distributions()
        # packages of NVIDIA's image, outside of the environment, are NVIDIA's
        self.folders = tuple(f"{site}/" for site in sites() if inside(site, VENV))
        self.ours = {name: d for name, d in self.distributions.items() if self.is_ours(d.folder)}
        self.owners = {
            path: distribution
            for distribution in self.distributions.values()
            for path in distribution.shared_objects
        }
        self.files: dict[str, Elf] = {}
        self.names: dict[str, list[str]] = {}  # a file's name and its DT_SONAME
        for site in dict.fromkeys(map(str, sites())):
            for path in shared_objects_below(site):
                if elf := read_elf(path):
                    self.files[path] = elf
                    for name in {base_name(path), elf.soname} - {""}:
                        self.names.setdefault(name, []).append(path)
        self.system = system_libraries()
        self.import_errors: dict[str, str] = {}

    def is_ours(self, path: str | Path) -> bool:
        """Return whether a path is in the environment, not in the base image."""
        return str(path).startswith(self.folders)

    def owner(self, path: str) -> Distribution | None:
        """Return the distribution that has a file in its RECORD."""
        return self.owners.get(path)

    def resolve(self, name: str, user: str) -> str:
        """Return the file below site-packages that `user` gets for a DT_NEEDED name, "" for none.

        From any package: one may load its libraries for another, as torch does with NVIDIA's.
        """
        candidates = self.names.get(name, [])
        if len(candidates) > 1:
            folders = search_folders(user, self.files[user])
            owner = self.owner(user)
            for candidate in candidates:
                if folder_of(candidate) in folders:
                    return candidate
            candidates = [c for c in candidates if self.owner(c) == owner] or candidates
        return candidates[0] if candidates else ""

    def provided(self, name: str, user: str) -> bool:
        """Return whether the dynamic loader finds a DT_NEEDED name of the file `user`."""
        if name in self.system:
            return True
        if found := self.resolve(name, user):
            return not apt_package(name) or self.related(user, found)
        folders = [""] if "/" in name else search_folders(user, self.files[user])
        return any(Path(folder, name).is_file() for folder in folders)

    def related(self, user: str, found: str) -> bool:
        """Return whether a system library comes with its package, or with one that it requires."""
        owner, provider = self.owner(user), self.owner(found)
        if owner is None or provider is None or owner == provider:
            return True
        return provider.name in required_names(owner)

    @cached_property
    def missing(self) -> dict[str, list[str]]:
        """Return the missing libraries of each file, without the driver's."""
        found = {}
        for path, elf in self.files.items():
            if not self.is_ours(path):
                continue
            absent = [
                name
                for name in elf.needed
                if not DRIVER_LIBRARY.fullmatch(name) and not self.provided(name, path)
            ]
            if absent:
                found[path] = absent
        return found

    def missing_beside(self, library: str) -> list[str]:
        """Return a missing library, and the system's others that the same modules lack."""
        lacking = {path: set(self.extension_modules(path)) for path in self.missing}
        modules = {m for p, names in self.missing.items() if library in names for m in lacking[p]}
        others = [n for p, names in self.missing.items() if modules & lacking[p] for n in names]
        return list(dict.fromkeys([library, *filter(apt_package, others)]))

    @cached_property
    def users(self) -> dict[str, list[str]]:
        """Return the files below site-packages that need each file."""
        found: dict[str, list[str]] = {}
        for path, elf in self.files.items():
            for name in elf.needed:
                if target := self.resolve(name, path):
                    found.setdefault(target, []).append(path)
        return found

    def extension_modules(self, path: str) -> list[str]:
        """Return the extension modules that cannot be imported without a file.

        A file that no module needs is a plugin, which may lack its library.
        """
        seen, waiting = {path}, [path]
        while waiting:
            for user in self.users.get(waiting.pop(), []):
                if user not in seen:
                    seen.add(user)
                    waiting.append(user)
        return sorted(filter(is_extension_module, seen))

    def import_error(self, package: str) -> str:
        """Return why a package cannot be imported, "" if it can; each is tried once."""
        if package not in self.import_errors:
            self.import_errors[package] = python(f"import {package}")[1]
        return self.import_errors[package]

    def optional(self, modules: Iterable[str]) -> bool:
        """Return whether the package of these extension modules can be imported without them."""
        packages = {outermost_package(Path(module)) for module in modules}
        return all(packages) and not any(map(self.import_error, packages))


def scan(facts: Facts) -> SharedObjects:
    """Return the shared objects, scanned once for all checks."""
    if facts.scanned is None:
        facts.scanned = SharedObjects()
    return facts.scanned


def is_extension_module(path: str) -> bool:
    """Return whether Python can import a file: it has the function PyInit_NAME."""
    return defines(path, "PyInit_" + base_name(path).partition(".")[0])


def base_name(path: str) -> str:
    """Return the last part of a path; Path would take longer than reading the files."""
    return path.rpartition("/")[2]


def folder_of(path: str) -> str:
    """Return a path without its last part."""
    return path.rpartition("/")[0]


def shared_objects_below(folder: str) -> Iterator[str]:
    """Yield the paths of NAME.so and NAME.so.1 in a folder and its subfolders."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        yield from shared_objects_below(entry.path)
                elif entry.name.endswith(".so") or ".so." in entry.name:
                    yield entry.path
    except OSError:
        return


def search_folders(path: str, elf: Elf) -> list[str]:
    """Return the search folders (RPATH) of a file."""
    origin = folder_of(path)
    named = (f.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for f in elf.search)
    return [os.path.normpath(folder) for folder in named]


def system_libraries() -> set[str]:
    """Return the names in the loader's cache and default folders, and in LD_LIBRARY_PATH.

    Folders of /etc/ld.so.conf.d count only after ldconfig has read them, as for the loader.
    """
    ldconfig = shutil.which("ldconfig", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    cache = run([ldconfig, "-p"]).stdout if ldconfig else ""
    lines = re.findall(r"^\s*(\S+) \((.*?)\) =>", cache, re.MULTILINE)
    wide = "x86-64" if platform.machine() == "x86_64" else ""  # not the 32-bit ones
    names = {name for name, kind in lines if wide in kind}
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), *SYSTEM_FOLDERS]
    folders += [f"{folder}/{platform.machine()}-linux-gnu" for folder in SYSTEM_FOLDERS]
    folders.append(f"{sys.prefix}/lib")  # of oneMKL and oneTBB, outside of site-packages
    for folder in map(Path, filter(None, folders)):
        if folder.is_dir():
            names.update(file.name for file in folder.glob("*.so*"))
    return names
