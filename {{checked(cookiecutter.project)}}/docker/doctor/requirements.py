"""Check that the requirements of each package are met, or overridden by the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .distributions import Distribution, normalized
from .facts import ENVIRONMENT, REBUILD, Facts
from .findings import Findings, ok, problem, remark, skipped
from .installed import version_of
from .requirement import Requirement, requested_extras, requirements
from .shared_objects import scan
from .version import release

# The project's line, not a package, decides the versions of these.
DECIDED = re.compile(
    r"onnxruntime(-.*)?|opencv-(contrib-)?python(-headless)?|torch|torchvision|torchaudio|nvidia-.*|"
    r"triton|pytorch-triton(-.*)?"
)
LISTS = re.compile(r"^(?:override|exclude)-dependencies\s*=\s*\[(.*?)\]\s*$", re.M | re.S)
# [[tool.uv.dependency-metadata]], or the same inline: the owner replaces a package's metadata.
METADATA = re.compile(
    r"^\[\[\s*tool\.uv\.dependency-metadata\s*\]\]\s*$(.*?)(?=^\s*\[|\Z)"
    r"|^dependency-metadata\s*=\s*\[(.*?)\]\s*$",
    re.M | re.S,
)
NAME = re.compile(r"""\bname\s*=\s*["']([^"']+)""")
# Packages with the same modules: one of each group is enough.
SAME_MODULES = (re.compile(r"onnxruntime(-.*)?"), re.compile(r"opencv(-.*)?"))


def check_requirements(facts: Facts) -> Findings:
    """Check that the requirements of every package of the environment are met."""
    installed, ours = scan(facts).distributions, scan(facts).ours
    (overridden, described), by_line = overrides(), []
    for distribution, requirement in unmet(ours, installed):
        found = installed.get(requirement.name)
        by_image = found and found.name not in ours
        by_owner = requirement.name in overridden or distribution.name in described
        if DECIDED.fullmatch(requirement.name) or by_owner or by_image:
            has = substitute(requirement.name, installed) or f"no {requirement.name}"
            by_line.append(f"{distribution} requires {requirement}; this project has {has}")
        else:
            have = f"{found} is installed" if found else "it is not installed"
            yield problem(
                f"{distribution} requires {requirement}, but {have}",
                "it may fail without that version",
                f"docker compose build --no-cache; if that does not help, write {requirement} into "
                f"pyproject.toml; {REBUILD}",
            )
    if by_line:
        yield remark(". ".join(by_line))
    else:
        yield ok(f"of {len(ours)} packages") if ours else skipped("no package is installed")


def unmet(
    ours: dict[str, Distribution], installed: dict[str, Distribution]
) -> Iterator[tuple[Distribution, Requirement]]:
    """Yield each package of the environment with its unmet requirements."""
    extras = requested_extras(ours.values())
    for distribution in ours.values():
        for requirement in requirements(distribution):
            if requirement.applies(extras.get(distribution.name, ())):
                found = installed.get(requirement.name)
                # Debian's packages have no METADATA
                version = found.version if found else version_of(requirement.name)
                # NVIDIA's 2.14.0a0 counts as 2.14.0
                same = release(version) if DECIDED.fullmatch(requirement.name) else version
                if not version or not (requirement.allows(version) or requirement.allows(same)):
                    yield distribution, requirement


def substitute(name: str, installed: dict[str, Distribution]) -> str:
    """Return the installed package that replaces another one, with its version."""
    if name in installed:
        return str(installed[name])
    for pattern in SAME_MODULES:
        if pattern.fullmatch(name):
            return " and ".join(str(d) for n, d in installed.items() if pattern.fullmatch(n))
    return ""


def overrides() -> tuple[set[str], set[str]]:
    """Return the names that pyproject.toml overrides or excludes, and those of dependency-metadata.

    Without a TOML parser, which Python 3.10 lacks. A build has a copy of the file in /opt.
    """
    names: set[str] = set()
    described: set[str] = set()
    for folder in (Path.cwd(), ENVIRONMENT.parent.parent, Path("/opt")):
        try:
            text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        except OSError:
            continue
        text = re.sub(r"(^|\s)#.*", "", text)  # comments
        for block in LISTS.findall(text):
            names |= {normalized(n) for n in re.findall(r"""["']\s*([A-Za-z0-9][\w.-]*)""", block)}
        for block in METADATA.findall(text):
            described |= {normalized(name) for name in NAME.findall("".join(block))}
    return names, described
