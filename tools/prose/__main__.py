"""Check the terms of this repository, and its Markdown: `python -m tools.prose [FILE...]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.prose import links, style, terms

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "docs/*.md", "benchmarks/*.md", "engines/*.md", ".github/*.md")
SOURCES = ("*cookiecutter.project*/**/*", "templates/script.*", "cookiecutter.json", "Makefile")
PYTHON = ("benchmarks", "capy_template", "compatibility", "engines", "hooks", "tests", "tools")
NOT_CHECKED = ("test_prose.py",)  # it has terms as examples


def main(names: list[str] | None = None) -> int:
    """Print each fault as FILE:LINE: TEXT, and return 1 if there is one or a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m tools.prose", description=__doc__.partition(":")[0])
    parser.add_argument("files", metavar="FILE", nargs="*", type=Path, help="default: this repository's")
    chosen = parser.parse_args(names).files
    known = terms.terms()
    faults = []
    for path in chosen or [*pages(), *sources()]:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a text"
            print(f"prose: {path}: {why}", file=sys.stderr)
            return 1
        place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        prose = text if path.suffix == ".md" else terms.without_markers(text)
        for line, word, better in terms.misused(prose, known):
            faults.append(f"{place}:{line}: {word!r}: write {better!r}")
        if path.suffix == ".md":
            faults += [f"{place}:{line}: {fault}" for line, fault in markdown(path, text)]
    print("\n".join(faults) or "prose: no fault")
    return int(bool(faults))


def markdown(page: Path, text: str) -> list[tuple[int, str]]:
    """Return the line and the description of each broken link and weak sentence."""
    root = ROOT if page.resolve().is_relative_to(ROOT) else page.resolve().parent
    found = [(line, f"{target}: {why}") for line, target, why in links.broken(page.resolve(), root)]
    return found if page.stem.endswith(".ja") else [*found, *style.weak(text)]


def pages() -> list[Path]:
    """Return the Markdown files of this repository, without the Jinja files of the generated project."""
    return sorted(page for glob in PAGES for page in ROOT.glob(glob))


def sources() -> list[Path]:
    """Return the other text files of the generated project, and all Python files."""
    globs = [*SOURCES, *(f"{folder}/**/*.py" for folder in PYTHON)]
    paths = {path for glob in globs for path in ROOT.glob(glob) if path.is_file() and not path.is_symlink()}
    return sorted(path for path in paths if path.name not in NOT_CHECKED and is_text(path))


def is_text(path: Path) -> bool:
    """Return whether a file is a text, and no Markdown."""
    ours = not {"node_modules", "__pycache__"} & set(path.parts)
    return ours and ".md" not in path.name and b"\0" not in path.read_bytes()[:8000]


if __name__ == "__main__":
    sys.exit(main())
