"""Print the section of CHANGELOG.md for one version: `python3 tools/release_notes.py 0.2.0`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def section(changelog: str, version: str) -> str:
    """Return the text below the heading `## VERSION`. Raises ValueError if there is none."""
    for part in f"\n{changelog}".split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        if heading.strip() == version and text.strip():
            return text.strip() + "\n"
    raise ValueError(f'CHANGELOG.md has no text below "## {version}"; write it, then push again')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the section of CHANGELOG.md for one version.")
    parser.add_argument("version", help="such as 0.2.0")
    try:
        print(section(CHANGELOG.read_text(encoding="utf-8"), parser.parse_args().version), end="")
    except ValueError as error:
        sys.exit(f"release_notes: {error}")
