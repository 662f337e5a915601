"""Run `uv add PACKAGE` in a generated project, and return what it resolves to for each accelerator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import parse_wheel_filename

from compatibility.facts import COMPANIONS, Line
from compatibility.index import UV, CannotCheck, Target, without_password
from compatibility.pytorch import CPU_INDEX, stand_in, with_companions
from compatibility.requirements import parse_requirement
from compatibility.wheels import file_name
from tools.generate import generate

ACCELERATORS = ("nvidia", "cpu")
NO_ANSWER = re.compile(r"Failed to fetch|error sending request|Request failed|dns error")
EVERY_LINUX = "[\"sys_platform == 'linux'\"]"
IMAGES_ALONE = "[\"sys_platform == 'linux' and platform_machine == 'x86_64' and python_version == '{}'\"]"
NO_EXTRA = re.compile(r"The package .* does not have an extra named .*")  # a warning, and nothing is added
LONGEST = 300  # seconds that uv may look for a resolution


@dataclass(frozen=True)
class Distribution:
    """One package of a resolution, and the file that the line's Python would install."""

    name: str
    version: str
    url: str

    @property
    def is_wheel(self) -> bool:
        """Return whether the file is a wheel, which needs no build."""
        return file_name(self.url).endswith(".whl")


@dataclass(frozen=True)
class Added:
    """The result of `uv add`: the packages of each accelerator, or why uv refused."""

    refused: str = ""
    packages: dict[str, list[Distribution]] = field(default_factory=dict)
    narrowed: bool = False  # uv resolves it for the image's Python and x86-64 alone


@dataclass(frozen=True)
class Project:
    """A generated project of a line, ready for `uv add`.

    Files with the metadata of the CUDA builds, minus CUDA, replace PyTorch's index of CPU builds: so the
    resolution is the same on any machine.
    """

    line: Line
    environment: str
    folder: Path

    @classmethod
    def make(cls, line: Line, environment: str, folder: Path) -> Project:
        """Generate and lock the project. Raises CannotCheck."""
        folder.mkdir(parents=True)
        project = cls(line, environment, generate(folder, environment=environment, cuda=line.name))
        path = project.folder / "pyproject.toml"
        text = path.read_text(encoding="utf-8")
        if CPU_INDEX in text:
            stand_in(line, folder / "pytorch-cpu")
            text = text.replace(f'url = "{CPU_INDEX}"\n', 'url = "../pytorch-cpu"\nformat = "flat"\n')
        path.write_text(text, encoding="utf-8")
        refused = run_uv(project.folder, line, "lock")
        if refused:
            raise CannotCheck(f"the project of {line.name} cannot be locked: {refused}")
        return project

    @property
    def text(self) -> str:
        """Return the text of its pyproject.toml."""
        return (self.folder / "pyproject.toml").read_text(encoding="utf-8")

    def add(self, requirement: str) -> Added:
        """Add a package to a copy of the project. Raises CannotCheck if the index does not answer."""
        added = self._add_with_companions(requirement, self.text)
        if added.refused and EVERY_LINUX in self.text:
            own = IMAGES_ALONE.format(self.line.value("python"))
            narrowed = self._add_with_companions(requirement, self.text.replace(EVERY_LINUX, own))
            return added if narrowed.refused else replace(narrowed, narrowed=True)
        return added

    def installed(self, accelerator: str, groups: bool = False) -> list[Distribution]:
        """Return the packages of the unchanged project; `groups`: with the image's packages for tests."""
        lock = tomllib.loads((self.folder / "uv.lock").read_text(encoding="utf-8"))
        return self._chosen(self.folder, accelerator, lock, groups)

    def _add_with_companions(self, requirement: str, text: str) -> Added:
        """Add a package; where that brings torchvision or torchaudio, pin them beside torch first."""
        added = self._add(requirement, text, ())
        names = {item.name for items in added.packages.values() for item in items}
        companions = tuple(name for name in COMPANIONS if name in names)
        if companions and "torch" in self.line.matrix["environments"][self.environment]["packages"]:
            return self._add(requirement, text, companions)
        return added

    def _add(self, requirement: str, text: str, companions: tuple[str, ...]) -> Added:
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix="add-") as name:
            copy = Path(name)
            for file in ("uv.lock", "README.md"):
                shutil.copy(self.folder / file, copy / file)
            shutil.copytree(self.folder / "src", copy / "src")
            text = with_companions(self.line, text, companions)
            (copy / "pyproject.toml").write_text(text, encoding="utf-8")
            if parse_requirement(requirement).name in companions:
                refused = run_uv(copy, self.line, "lock")
            else:
                refused = run_uv(copy, self.line, "add", "--no-sync", requirement)
            if refused:
                return Added(refused)
            lock = tomllib.loads((copy / "uv.lock").read_text(encoding="utf-8"))
            return Added(packages={name: self._chosen(copy, name, lock) for name in ACCELERATORS})

    def _chosen(self, folder: Path, accelerator: str, lock: dict, groups: bool = False) -> list[Distribution]:
        """Return what the line's Python installs with an accelerator."""
        command = [UV, "export", "--frozen", "--extra", accelerator, "--quiet"]
        command += [] if groups else ["--no-default-groups"]
        command += ["--no-emit-project", "--no-hashes", "--no-annotate", "--no-header"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=settings())
        if done.returncode:
            raise CannotCheck(f"`uv export` failed: {done.stderr.strip()}")
        target = self.line.target()
        known = {
            (package["name"], package["version"]): package
            for package in lock["package"]
            if "version" in package
        }
        where = {
            **{"python_version": target.python, "python_full_version": f"{target.python}.0"},
            **{"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
            **{"platform_machine": "x86_64", "implementation_name": "cpython"},
            "platform_python_implementation": "CPython",
        }
        found = []
        for text in done.stdout.splitlines():
            wanted = parse_requirement(text)
            if wanted.marker and not wanted.marker.evaluate(where):
                continue
            version = next(iter(wanted.specifier)).version
            package = known[wanted.name, version]
            found.append(Distribution(wanted.name, version, best_file(package, target)))
        return found


def best_file(package: dict, target: Target) -> str:
    """Return the address of the wheel that an installer would choose, else of the source; "" for none."""
    order = {str(tag): place for tag, place in target.tags.items()}
    fitting = []
    for wheel in package.get("wheels", []):
        address = wheel.get("url") or wheel["path"]
        tags = [order[str(tag)] for tag in parse_wheel_filename(file_name(address))[3] if str(tag) in order]
        if tags:
            fitting.append((min(tags), address))
    if fitting:
        return min(fitting)[1]
    source = package.get("sdist", {})
    return source.get("url") or source.get("path") or ""


def run_uv(folder: Path, line: Line, command: str, *arguments: str) -> str:
    """Run a uv command that locks; return why uv refused, "" if it did not. Raises CannotCheck."""
    options = ["--default-index", line.index.url, "--no-python-downloads", "--color", "never"]
    try:
        done = subprocess.run(
            [UV, command, *options, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            env=settings(),
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return f"uv did not find a resolution in {LONGEST} seconds"
    if not done.returncode:
        return "; ".join(dict.fromkeys(NO_EXTRA.findall(done.stderr)))
    words = " ".join(done.stderr.encode("ascii", "ignore").decode().split())
    if NO_ANSWER.search(words):
        raise CannotCheck(f"the package index {without_password(line.index.url)} gives no answer: {words}")
    return without_password(words)


def settings() -> dict[str, str]:
    """Return uv's environment, without settings and the virtual environment of this repository."""
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
