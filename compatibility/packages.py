"""Check the packages of packages.yaml in every line, for GPU and CPU: `make packages`.

python -m compatibility.packages          all packages; writes docs/packages.md
python -m compatibility.packages NAME …   these only; prints the result

Results are cached below the user's cache folder: files of packages forever, resolutions for a day.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import InvalidRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from capy_template.matrix import load, source_of_cuda
from compatibility import packages_page, system, verdicts
from compatibility.cache import JsonCache, cache_folder
from compatibility.facts import METADATA, Line
from compatibility.index import UV, CannotCheck, Outdated, serves, users_index
from compatibility.requirements import parse_requirement
from compatibility.uv_add import ACCELERATORS, Added, Distribution, Project
from compatibility.verdicts import AGREES, REFUSED, SYSTEM, Place, Verdict
from compatibility.wheels import Contents, Reader, torch_requirement

LIST = Path(__file__).with_name("packages.yaml")
WORKERS = 3
VERSION = 1  # of the cached resolutions
# Packages that the matrix checks: the list of their files is enough.
OF_THE_LINE = re.compile(r"(nvidia-.*|cuda-.*|torch|triton|onnxruntime(-gpu)?)$")
OF_CUDA = re.compile(r"cuda|cudnn|cublas|cupti|cusparse|cufile|nccl|nvrtc|nvshmem|nvfuser", re.IGNORECASE)


@dataclass(frozen=True)
class Package:
    """An entry of packages.yaml."""

    name: str
    category: str
    environment: str = "full"
    system: tuple[str, ...] = ()
    instead: str = ""
    note: str = ""


def listed() -> list[Package]:
    """Return the packages of packages.yaml."""
    data = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return [
        Package(**{**entry, "system": tuple(entry.get("system", ()))}, category=category)
        for category, entries in data.items()
        for entry in entries
    ]


@dataclass(frozen=True)
class Trial:
    """One project of a line, to which packages are added."""

    project: Project
    reader: Reader
    today: str

    @property
    def line(self) -> Line:
        """Return the project's line."""
        return self.project.line

    @cached_property
    def before(self) -> dict[str, set[str]]:
        """Return the packages of the unchanged project, by accelerator."""
        return {name: {item.name for item in self.project.installed(name)} for name in ACCELERATORS}

    def place(self, accelerator: str) -> Place:
        """Return where packages are added."""
        use = self.line.matrix["environments"][self.project.environment]
        return Place(
            accelerator,
            self.line.value("cuda"),
            self.line.value("torch") if "torch" in use["packages"] else None,
            self.line.value("ubuntu"),
            system.table(),
            source_of_cuda(self.line.matrix, self.project.environment, self.line.name) == "image",
        )

    def verdicts(self, package: Package) -> dict[str, Verdict]:
        """Return the verdicts on a package, by accelerator. Raises CannotCheck."""
        digest = hashlib.sha256(self.project.text.encode()).hexdigest()
        key = f"added {VERSION} {self.today} {uv_version()} {self.line.name} {digest} {package.name}"
        answer = self.reader.cache.get(key, lambda: asdict(self.project.add(package.name)))
        packages = {
            name: [Distribution(**item) for item in items] for name, items in answer["packages"].items()
        }
        added = Added(answer["refused"], packages, answer["narrowed"])
        if added.refused:
            why = self.other_torch(package, "") or packages_page.short(added.refused)
            return {name: Verdict(REFUSED, reasons=(why,)) for name in ACCELERATORS}
        return {name: self.verdict(package, added, name) for name in ACCELERATORS}

    def verdict(self, package: Package, added: Added, accelerator: str) -> Verdict:
        """Return the verdict on a resolution with one accelerator. Raises CannotCheck."""
        resolved = [(item, self.contents(item)) for item in added.packages[accelerator]]
        found = verdicts.judge(resolved, self.before[accelerator], self.place(accelerator))
        name = canonicalize_name(parse_requirement(package.name).name)
        version = next((item.version for item, _ in resolved if item.name == name), "")
        if not version:
            return Verdict(AGREES, replaced=True)
        newest = self.newest(name)
        old = newest if newest and Version(newest).public != Version(version).public else ""
        if old and Version(newest) < Version(version):
            old = ""
        reasons = [*found.reasons]
        if reasons and old and (why := self.other_torch(package, old)):
            reasons.insert(0, why)
        needs = tuple(sorted({*found.system, *package.system}))
        kind = REFUSED if reasons else SYSTEM if needs else AGREES
        unread = tuple(found.unread)
        return Verdict(kind, version, old, needs, tuple(reasons), unread, added.narrowed)

    def contents(self, item: Distribution) -> Contents:
        """Return the contents of a file; for PyTorch's CPU build, those of the CUDA build without CUDA."""
        if not item.url:
            return Contents()
        if item.url.startswith("http"):
            return self.reader.contents(item.url, deep=not OF_THE_LINE.match(item.name))
        version = item.version.removesuffix("+cpu")
        wheel = self.line.index.wheel(item.name, version, self.line.target())
        found = self.reader.contents(wheel.url, deep=False)
        return Contents(libraries=[path for path in found.libraries if not OF_CUDA.search(path)])

    def newest(self, name: str) -> str:
        """Return the newest version with a file for the line's Python, ignoring its requirements."""
        target = self.line.target()
        found = []
        for file in self.line.index.files(name):
            if file.is_yanked or not file.version:
                continue
            source = file.package_type == "sdist" and in_range(file.requires_python, target.python)
            if (source or serves(file, target)) and not Version(file.version).is_prerelease:
                found.append(Version(file.version))
        return str(max(found)) if found else ""

    def other_torch(self, package: Package, version: str) -> str:
        """Return what a version requires instead of the line's PyTorch, "" if it accepts that.

        `version`: "" for the newest.
        """
        name = canonicalize_name(parse_requirement(package.name).name)
        version = version or self.newest(name)
        try:
            wheel = self.line.index.wheel(name, version, self.line.target())
            asked = torch_requirement(self.line.index.read(wheel, METADATA))
        except Outdated:
            return ""
        torch = self.line.value("torch")
        if asked and not SpecifierSet(asked).contains(torch):
            return f"{name} {version} requires torch{asked}; the line has {torch}"
        return ""


def in_range(versions: str | None, python: str) -> bool:
    """Return whether a file's Requires-Python allows a Python version."""
    try:
        return SpecifierSet(versions or "").contains(python)
    except InvalidSpecifier:
        return False


def uv_version() -> str:
    """Return the version of uv, which decides what resolves."""
    return subprocess.run([UV, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


def try_all(
    packages: list[Package], matrix: dict[str, Any], folder: Path, today: str
) -> Iterator[tuple[Package, str, dict[str, Verdict]]]:
    """Yield the verdicts on each package in each line, as they are found. Raises CannotCheck."""
    index = users_index()
    reader = Reader(index, JsonCache(cache_folder()))
    trials = {}
    for line in matrix["lines"]:
        for environment in sorted({package.environment for package in packages}):
            say(f"generating and locking the project {environment} of {line}")
            project = Project.make(Line(line, matrix, index), environment, folder / f"{line}-{environment}")
            trials[line, environment] = Trial(project, reader, today)
            trials[line, environment].before  # noqa: B018  before the threads ask for it
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        asked = {
            pool.submit(trials[line, package.environment].verdicts, package): (package, line)
            for package in packages
            for line in matrix["lines"]
        }
        try:
            for number, done in enumerate(as_completed(asked), start=1):
                package, line = asked[done]
                found = done.result()
                say(f"{number} of {len(asked)}: {package.name} in {line}: {packages_page.brief(found)}")
                yield package, line, found
        finally:
            pool.shutdown(cancel_futures=True)


def say(text: str) -> None:
    """Print a line of progress or an error to stderr; stdout is for results."""
    print(f"packages: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code; expected errors and Ctrl-C print one line."""
    parser = argparse.ArgumentParser(
        prog="python -m compatibility.packages", description=__doc__.splitlines()[0]
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="package (default: all of packages.yaml)")
    names = parser.parse_args(arguments).names
    for name in names:
        try:
            parse_requirement(name)
        except InvalidRequirement:
            parser.error(f"{name!r} is not a requirement, such as numpy or numpy>=2")
    known = {package.name: package for package in listed()}
    packages = [known.get(name) or Package(name, "asked for") for name in names] or list(known.values())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    matrix, today = load(), datetime.date.today().isoformat()
    try:
        with tempfile.TemporaryDirectory(prefix="capy-packages-") as folder:
            found = {
                (package.name, line, accelerator): verdict
                for package, line, by_accelerator in try_all(packages, matrix, Path(folder), today)
                for accelerator, verdict in by_accelerator.items()
            }
    except CannotCheck as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; results so far are cached")
        return 130
    text = packages_page.page(packages, list(matrix["lines"]), found, today, uv_version())
    if names:
        print(packages_page.tables(packages, list(matrix["lines"]), found))
        return 0
    packages_page.PAGE.write_text(text, encoding="utf-8")
    say(f"docs/{packages_page.PAGE.name} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
