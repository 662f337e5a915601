"""Find links within the repository that lead nowhere: to no file, or to no heading of a Markdown file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def targets(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the target of each link and picture of a Markdown text, code left out."""
    text = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    text = CODE.sub("code", text)
    for found in LINK.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[1]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a Markdown text."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = next(n for n in range(len(found) + 1) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken(page: Path, root: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the target and the reason for each link of a page that leads nowhere."""
    for line, target in targets(page.read_text(encoding="utf-8")):
        url = urlsplit(target)
        if url.scheme or url.netloc:
            continue
        path = (page.parent / unquote(url.path)).resolve() if url.path else page
        if not path.is_relative_to(root) or not path.exists():
            yield line, target, "no such file"
        elif url.fragment and path.suffix == ".md" and unquote(url.fragment) not in headings(path):
            yield line, target, "no such heading"


def headings(page: Path) -> set[str]:
    """Return the anchors of a Markdown file."""
    return anchors(page.read_text(encoding="utf-8"))
