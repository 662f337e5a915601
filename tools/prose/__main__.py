"""Check the terms, the links and the prose of every Markdown file: `python -m tools.prose [FILE...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.prose import links, style, terms

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "engines/*.md", ".github/*.md")


def main(names: list[str]) -> int:
    """Print each fault as FILE:LINE: TEXT, and return 1 where there is one."""
    known = terms.terms()
    faults = []
    for page in pages() if not names else map(Path, names):
        text = page.read_text(encoding="utf-8")
        place = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        for line, word, better in terms.misused(text, known):
            faults.append(f"{place}:{line}: {word!r}: write {better!r}")
        root = ROOT if page.resolve().is_relative_to(ROOT) else page.resolve().parent
        for line, target, reason in links.broken(page.resolve(), root):
            faults.append(f"{place}:{line}: {target}: {reason}")
        if not page.stem.endswith(".ja"):
            faults += [f"{place}:{line}: {advice}" for line, advice in style.weak(text)]
    print("\n".join(faults) or "prose: no fault")
    return int(bool(faults))


def pages() -> list[Path]:
    """Return the Markdown files of this repository; those of the generated project are Jinja."""
    return sorted(page for glob in PAGES for page in ROOT.glob(glob))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
