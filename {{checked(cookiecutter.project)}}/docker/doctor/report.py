"""Run the checks and print their findings: the command `doctor`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from .facts import Facts, read_facts
from .findings import Finding
from .registry import examine


def main(arguments: list[str] | None = None) -> int:
    """Run the doctor and return its exit code: 1 if there is a problem."""
    parser = argparse.ArgumentParser(
        prog="doctor", description=sys.modules[__package__].__doc__.splitlines()[0]
    )
    parser.add_argument("--build", action="store_true", help="run the checks that need no GPU")
    parser.add_argument(
        "--packages", action="store_true", help="run the quick checks, which only read files"
    )
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")
    chosen = parser.parse_args(arguments)
    try:
        facts = read_facts(building=chosen.build)
        findings = list(examine(facts, quick=chosen.packages))
    except ValueError as error:
        print(printable(f"doctor: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, default=str))
    elif chosen.packages:  # to stderr, as uv's own output
        print(printable("\n".join(glance(findings))), file=sys.stderr)
    else:
        print(printable("\n".join(table(facts, findings))))
    return int(any(finding.status == "problem" for finding in findings))


def printable(text: str) -> str:
    """Return a text without escape sequences, which a package or a setting may contain."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")


def glance(findings: list[Finding]) -> Iterator[str]:
    """Yield the report after a change of packages: remarks and problems, else one line."""
    yield from (f"doctor: {finding.found}" for finding in findings if finding.status == "remark")
    found = list(problems(findings))
    yield "\n".join(found).lstrip() if found else "doctor: the packages are compatible"


def table(facts: Facts, findings: list[Finding]) -> Iterator[str]:
    """Yield the full report: a line for each check, then each problem."""
    yield f"doctor: {facts.environment}, {facts.line}, ACCELERATOR={facts.accelerator}"
    for name in dict.fromkeys(finding.check for finding in findings):
        of_check = [finding for finding in findings if finding.check == name]
        remarks = [finding.found for finding in of_check if finding.status == "remark"]
        others = [finding for finding in of_check if finding.status != "remark"]
        worst = max((f.status for f in others), key=("ok", "skipped", "problem").index, default="")
        if worst == "problem" or not remarks:
            first, *more = [finding.found for finding in others if finding.status == worst]
            count = f" (and {len(more)} more)" if more else ""
            yield f"{'PROBLEM' if worst == 'problem' else worst:8} {name:14} {first}{count}"
        yield from (f"{'remark':8} {name:14} {found}" for found in remarks)
    yield from problems(findings)


def problems(findings: list[Finding]) -> Iterator[str]:
    """Yield each problem with its cause and what to type."""
    for finding in findings:
        if finding.status == "problem":
            yield f"\n{finding.check}: {finding.found}\n  why: {finding.why}\n  fix: {finding.fix}"
