"""The READMEs and pages in Japanese are in step with those in English: headings, commands, settings, links.

Sentences are free: a Japanese page is written, not translated.
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


# In English alone.
UNTRANSLATED = {"docs/scale-out.md", "docs/slurm.md"}


def pairs() -> list[dict[str, str | bool]]:
    """Return the combinations of answers that are there in both languages, as those in Japanese."""
    both = [answers for answers in COMBINATIONS if answers["readme_language"] == "ja"]
    return [answers for answers in both if {**answers, "readme_language": "en"} in COMBINATIONS]


@pytest.fixture(
    params=[*(pytest.param(answers, marks=MARKS[answers in EACH_PAIR]) for answers in pairs()), None],
    ids=lambda answers: sentence(answers) if answers else "the template",
)
def both(request: pytest.FixtureRequest, projects) -> list[tuple[str, str]]:
    """The README, and each page, in English and in Japanese."""
    if request.param is None:
        return [tuple(Path(TEMPLATE, name).read_text() for name in ("README.md", "README.ja.md"))]
    english, japanese = (
        projects[sentence({**request.param, "readme_language": language})] for language in ("en", "ja")
    )
    pages = {name for name in english.files() if name.endswith(".md")} - UNTRANSLATED - {"AGENTS.md"}
    assert len(pages) > 10
    return [(english.read(name), japanese.read(name)) for name in sorted(pages)]


def test_they_have_the_same_sections(both):
    levels = [[re.findall(r"^#+(?= )", FENCE.sub("", text), re.MULTILINE) for text in pair] for pair in both]

    assert [english for english, _ in levels] == [japanese for _, japanese in levels]
    assert all(english[0] == "#" for english, _ in levels)
    assert len(max(levels[0])) > 5


def test_they_have_the_same_commands(both):
    """A block of code is the same but for its comments."""
    for pair in both:
        english, japanese = ([without_comments(block) for block in FENCE.findall(text)] for text in pair)

        assert english == japanese


def test_they_name_the_same_settings(both):
    for pair in both:
        english, japanese = (
            {name for code in CODE.findall(text) for name in SETTING.findall(code)} for text in pair
        )

        assert english == japanese


def test_they_have_the_same_links(both):
    for pair in both:
        links = [{a or b for a, b in LINK.findall(text) if "README" not in a} for text in pair]

        assert links[0] == links[1]


def test_their_tables_have_as_many_rows(both):
    for pair in both:
        rows = [[line.count(" | ") for line in text.splitlines() if line.startswith("|")] for text in pair]

        assert rows[0] == rows[1]


def test_one_is_japanese_and_the_other_is_not(both):
    for pair in both:
        english, japanese = (FENCE.sub("", text).replace("日本語", "") for text in pair)

        assert not JAPANESE.search(english)
        prose = LINK.sub("", CODE.sub("", japanese)).splitlines()
        prose = [line for line in prose if len(line) > 60 and not line.startswith("|")]
        assert [line for line in prose if not JAPANESE.search(line)] == []


def without_comments(block: str) -> str:
    """Return a block of code without what follows a number sign, an arrow of a tree, or blanks at an end.

    And without the language among the answers that cruft is given.
    """
    answer = '"readme_language": "ja"'
    block = block.replace(f" --extra-context '{{{answer}}}'", "").replace(f", {answer}", "")
    lines = [re.sub(r"(^|\s+)# .*| {2,}\S.*", "", line).rstrip() for line in block.splitlines()]
    return "\n".join(lines)
