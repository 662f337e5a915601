"""Ask proselint about the prose of a Markdown text: its code is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from proselint.checks import __register__
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

from tools.prose.links import CODE, FENCE

# Straight quotes are for those who copy a line; a figure with an apostrophe is no decade here.
OFF = {"typography.symbols": False, "typography.punctuation": False, "dates_times": False}


def weak(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the advice for each passage that proselint marks."""
    registry = CheckRegistry()
    if not registry.checks:
        registry.register_many(__register__)
    prose = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    prose = CODE.sub("“code”", prose)
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    checks = {**DEFAULT["checks"], **OFF}
    config = {**DEFAULT, "checks": dict(sorted(checks.items(), key=lambda item: -item[0].count(".")))}
    for result in LintFile("", prose).lint(config):
        if "“code”" not in result.check_result.message:
            yield result.pos[0], f"{result.check_result.check_path}: {result.check_result.message}"
