"""The READMEs in Japanese are in step with those in English: headings, commands, code, settings, links.

Sentences are free: a Japanese README is written, not translated.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE
from tests.generation.conftest import COMBINATIONS, EACH_PAIR, MARKS, sentence

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
CODE = re.compile(r"`[^`\n]+`")
SETTING = re.compile(r"\b[A-Z][A-Z_]*[A-Z]\b")
LINK = re.compile(r"\]\(([^)]+)\)|<(https?://[^>]+)>")


def pairs() -> list[dict[str, str | bool]]:
    """Return the combinations of answers that are there in both languages, as those in Japanese."""
    both = [answers for answers in COMBINATIONS if answers["readme_language"] == "ja"]
    return [answers for answers in both if {**answers, "readme_language": "en"} in COMBINATIONS]


@pytest.fixture(
    params=[*(pytest.param(answers, marks=MARKS[answers in EACH_PAIR]) for answers in pairs()), None],
    ids=lambda answers: sentence(answers) if answers else "the template",
)
def readmes(request: pytest.FixtureRequest, projects) -> tuple[str, str]:
    """A README in English and in Japanese."""
    if request.param is None:
        return tuple(Path(TEMPLATE, name).read_text() for name in ("README.md", "README.ja.md"))
    both = [{**request.param, "readme_language": language} for language in ("en", "ja")]
    return tuple(projects[sentence(answers)].read("README.md") for answers in both)


def test_they_have_the_same_sections(readmes):
    levels = [re.findall(r"^#+(?= )", FENCE.sub("", text), re.MULTILINE) for text in readmes]

    assert levels[0] == levels[1]
    assert len(levels[0]) > 5


def test_they_have_the_same_commands(readmes):
    """A block of code is the same but for its comments."""
    english, japanese = ([without_comments(block) for block in FENCE.findall(text)] for text in readmes)

    assert english == japanese


def test_they_name_the_same_settings(readmes):
    english, japanese = (
        {name for code in CODE.findall(text) for name in SETTING.findall(code)} for text in readmes
    )

    assert english == japanese


def test_they_have_the_same_links(readmes):
    links = [{a or b for a, b in LINK.findall(text) if "README" not in a} for text in readmes]

    assert links[0] == links[1]


def test_one_is_japanese_and_the_other_is_not(readmes):
    english, japanese = (FENCE.sub("", text).replace("日本語", "") for text in readmes)

    assert not JAPANESE.search(english)
    prose = LINK.sub("", CODE.sub("", japanese)).splitlines()
    prose = [line for line in prose if len(line) > 60 and not line.startswith("|")]
    assert [line for line in prose if not JAPANESE.search(line)] == []


def without_comments(block: str) -> str:
    """Return a block of code without what follows a number sign, an arrow of a tree, or blanks at an end."""
    lines = [re.sub(r"(^|\s+)# .*| {2,}\S.*", "", line).rstrip() for line in block.splitlines()]
    return "\n".join(lines)
