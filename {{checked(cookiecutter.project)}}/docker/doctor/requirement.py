"""Parse a Requires-Dist line: its name, its marker and the versions that it allows.

The standard library has no parser for it, and `packaging` may not be installed.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .distributions import Distribution, distributions, normalized
from .version import compare

LINE = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(\[(?P<extras>[^\]]*)\])?\s*"
    r"(@[^;]*|\(?(?P<versions>[^;()@]*)\)?\s*)(;(?P<marker>.*))?$"
)
TOKEN = re.compile(r"""\s*([()]|'[^']*'|"[^"]*"|not\s+in\b|\w+|===|[<>=!~]=|[<>])""")
EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)""")
HERE = {
    "python_version": ".".join(map(str, sys.version_info[:2])),
    "python_full_version": platform.python_version(),
    "sys_platform": sys.platform,
    "platform_system": platform.system(),
    "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(),
    "implementation_name": sys.implementation.name,
    "os_name": os.name,
}


@dataclass(frozen=True)
class Requirement:
    """A requirement of one distribution for another."""

    name: str
    extras: tuple[str, ...]
    versions: str  # >=2,<3
    marker: str

    def __str__(self) -> str:
        return self.name + self.versions

    def applies(self, extras: Iterable[str] = ()) -> bool:
        """Return whether the marker holds, with or without one of the extras."""
        return not self.marker or any(holds(self.marker, extra) for extra in ("", *extras))

    def allows(self, version: str) -> bool:
        """Return whether a version satisfies every comparison that is understood."""
        for comparison in filter(None, map(str.strip, self.versions.split(","))):
            match = re.fullmatch(r"(===|[<>=!~]=|[<>])\s*(\S+)", comparison)
            if match and not compare(version, match[1], match[2]):
                return False
        return True


def parse(line: str) -> Requirement | None:
    """Return the requirement of a line, None if it is invalid."""
    if not (match := LINE.match(line)):
        return None
    extras = tuple(normalized(e.strip()) for e in (match["extras"] or "").split(",") if e.strip())
    versions = re.sub(r"\s+", "", match["versions"] or "")
    return Requirement(normalized(match["name"]), extras, versions, (match["marker"] or "").strip())


def requirements(distribution: Distribution) -> Iterator[Requirement]:
    """Yield all requirements of a distribution, whatever their markers."""
    yield from filter(None, map(parse, distribution.requires))


def required_names(distribution: Distribution) -> set[str]:
    """Return the names of all requirements of a distribution."""
    return {requirement.name for requirement in requirements(distribution)}


def dependents(names: set[str], installed: Iterable[Distribution]) -> set[str]:
    """Return what requires one of these packages here; if nothing, what has an extra for it."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    installed = list(installed)
    asked = requested_extras(installed)
    for distribution in installed:
        for requirement in requirements(distribution):
            if requirement.name in names and requirement.applies(EXTRA.findall(requirement.marker)):
                certain = requirement.applies(asked.get(distribution.name, ()))
                found[certain].add(distribution.name)
    return found[True] or found[False]


def requested_extras(installed: Iterable[Distribution]) -> dict[str, set[str]]:
    """Return the extras that packages request of each other."""
    extras: dict[str, set[str]] = {}
    for distribution in installed:
        for requirement in requirements(distribution):
            if requirement.extras and requirement.applies():
                extras.setdefault(requirement.name, set()).update(requirement.extras)
    return extras


def required_by(name: str) -> str:
    """Return which packages require `name`: a failed build leaves no image to look into."""
    found = dependents({normalized(name)}, distributions().values())
    return f"{name} is required by {', '.join(sorted(found)) or 'pyproject.toml itself'}"


def holds(marker: str, extra: str) -> bool:
    """Return whether a marker holds here; False if it cannot be parsed."""
    tokens = TOKEN.findall(marker)
    try:
        value = either(tokens, {**HERE, "extra": extra})
    except (IndexError, KeyError):
        return False
    return value and not tokens


def either(tokens: list[str], here: dict[str, str]) -> bool:
    """Take `A or B` from the tokens and return its value."""
    value = both(tokens, here)
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        value = both(tokens, here) or value
    return value


def both(tokens: list[str], here: dict[str, str]) -> bool:
    """Take `A and B` from the tokens and return its value."""
    value = comparison(tokens, here)
    while tokens and tokens[0] == "and":
        tokens.pop(0)
        value = comparison(tokens, here) and value
    return value


def comparison(tokens: list[str], here: dict[str, str]) -> bool:
    """Take `(A)` or `NAME operator 'text'` from the tokens and return its value."""
    if tokens[0] == "(":
        tokens.pop(0)
        value = either(tokens, here)
        tokens.pop(0)
        return value
    first, operator, second = tokens.pop(0), tokens.pop(0), tokens.pop(0)
    left, right = (word[1:-1] if word[0] in "'\"" else here[word] for word in (first, second))
    if operator == "in":
        return left in right
    if operator.startswith("not"):
        return left not in right
    if "extra" in (first, second):
        left, right = normalized(left), normalized(right)
    elif any(word.startswith("python") for word in (first, second)):
        return compare(left, operator, right)
    return {"==": left == right, "===": left == right, "!=": left != right}[operator]
