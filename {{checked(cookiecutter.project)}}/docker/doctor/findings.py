"""Define the findings that a check yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass
class Finding:
    """What a check found; a problem also has why it matters and what to type."""

    check: str
    status: str  # ok, skipped, remark or problem
    found: str
    why: str = ""
    fix: str = ""
    details: list[str] = field(default_factory=list)  # printed by --json only


Findings = Iterator[Finding]


def ok(found: str, details: Iterable[str] = ()) -> Finding:
    """Make a finding without a problem."""
    return Finding("", "ok", found, details=list(details))


def problem(found: str, why: str, fix: str) -> Finding:
    """Make a finding that fails the doctor: what is wrong, why it matters, what to type."""
    return Finding("", "problem", found, why, fix)


def remark(found: str) -> Finding:
    """Make a finding that does not fail the doctor: what is so, and when it matters."""
    return Finding("", "remark", found)


def skipped(reason: str) -> Finding:
    """Make a finding with the reason why there is nothing to check."""
    return Finding("", "skipped", reason)
