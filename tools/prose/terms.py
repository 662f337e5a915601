"""Find words that the project does not use: terms.txt has them, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

LIST = Path(__file__).with_name("terms.txt")
COMMENT = re.compile(r"(?m)^[ \t]*(?:#+|//)[ \t]?")
NEXT_STRING = re.compile(r"""["']([ \t]*\n[ \t]*)[fr]?["']""")


def terms(path: Path = LIST) -> dict[str, str]:
    """Return the words of the list, each with what to write instead."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" => ", 1) for line in lines if line and not line.startswith("#"))
    return {word.strip(): better.strip() for word, better in pairs}


def pattern(word: str) -> re.Pattern[str]:
    """Return what finds a word of the list, across line breaks and in any case."""
    lookahead = ""
    if found := re.search(r"\(\?!.*\)$", word):  # the one regular expression in the list
        word, lookahead = word[: found.start()], found[0]
    return re.compile(r"\s+".join(map(re.escape, word.split())) + lookahead, re.IGNORECASE)


def without_markers(text: str) -> str:
    """Return a source text without comment signs, and strings of several parts joined; lines stay."""
    return NEXT_STRING.sub(r"\1", COMMENT.sub("", text))


def misused(text: str, known: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the word and the better one for each word of the list in a text."""
    for word, better in known.items():
        for found in pattern(word).finditer(text):
            yield text.count("\n", 0, found.start()) + 1, found[0], better
