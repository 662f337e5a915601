"""Print tables in a test run: the rows of docs/hosts.md."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.support.workers import report

WIDTH = 180


def report_table(config: pytest.Config, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table at once, and again in the summary."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*map(escape, row))  # an engine's error may have brackets
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    console.print(table)
    for line in console.export_text().splitlines():
        report(config, line.rstrip())
