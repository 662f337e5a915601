"""docs/error-messages.md has every message of a project and of the template, and none that is gone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, BakedProject, generate

PAGE = (TEMPLATE / "docs/error-messages.md").read_text()
# Calls that print a text to a person, with the place of the text among the arguments.
TEXTS = {"problem": 0, "remark": 0, "say": 0, "ValueError": 0, "Refusal": -1}
TEXTS |= {"FailedHookException": 0, "Unavailable": 0}
# The end of another message; an error that the doctor catches.
NO_MESSAGES = (
    "…. Nothing was written",
    "docker compose run --rm app uv add --no-sync",
    "not a 64-bit little-endian ELF file",
    "nothing in it is for the dynamic loader",
)
# What the tools print that are not ours: these rows cannot be found in our files.
OTHERS = ("Docker and Compose", "CUDA and the driver")
FEWEST = 8  # letters that tell one message from another
PUT_IN = r"\$\{[^}]*\}|\$\w+|\$\([^)]*\)"  # in a text of the shell


def rows(section: str = "") -> list[str]:
    """Return the messages of the page, or of one of its sections: what a first cell begins with."""
    text = re.search(rf"(?ms)^## {section}\n(.*?)(?=^## |\Z)", PAGE)[1] if section else PAGE
    first = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    lists = [re.match(r"\| `[^`]+`(?:, `[^`]+`)*", cell)[0] for cell in first]
    return [message for text in lists for message in re.findall(r"`([^`]+)`", text)]


def ours() -> list[str]:
    """Return the messages of the page that are not another program's."""
    sections = re.findall(r"(?m)^## (.*)$", PAGE)
    found = [message for name in sections if name not in OTHERS for message in rows(name)]
    return [message for message in found if message not in NOT_OURS]


def parts(message: str) -> list[str]:
    """Return the fixed parts of a message, without the name of the program that prints it."""
    message = re.sub(
        r"^(sync|with-network|with-index|uv|entrypoint|write-env|ray-token|slurm): ", "", message
    )
    return [part for part in (part.strip(" ().,:;") for part in message.split("…")) if part]


def text_of(node: ast.expr) -> list[str]:
    """Return the texts that an expression can be, with an ellipsis for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)]
    if isinstance(node, ast.IfExp):
        return text_of(node.body) + text_of(node.orelse)
    return []


def of_python(source: str) -> Iterator[str]:
    """Yield the messages of a Python file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TEXTS:
            yield from text_of(node.args[TEXTS[node.func.id]]) if node.args else ()


def of_shell(source: str) -> Iterator[str]:
    """Yield the messages of a shell script: what die and say print, and what echo sends to stderr."""
    quoted = r"""(?:'([^']*)'|"((?:[^"\\]|\\.)*)")"""
    for found in re.finditer(rf"(?:\bdie \d+|\bsay) {quoted}", source):
        yield re.sub(PUT_IN, "…", found[1] or found[2])
    for found in re.finditer(rf"\becho {quoted}[^\n]*(?:\\\n[^\n]*)?>&2", source):
        yield re.sub(PUT_IN, "…", found[1] or found[2])


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files that print: those of the template, of a project with everything, and of the default one."""
    everything = {
        "private_index": "https://pypi.example.com/simple",
        "notebook": True,
        "scale_out": "ray-and-kubernetes",
    }
    found = [*(TEMPLATE / "capy_template").glob("*.py")]
    for name in ("full", "inference"):
        project: BakedProject = generate(tmp_path_factory.mktemp(name), environment=name, **everything)
        found += [path for path in project.path.rglob("*") if path.suffix in (".py", ".sh")]
    return [path for path in found if "tests" not in path.parts[-2:]]


def messages(path: Path) -> list[str]:
    """Return the messages of a file that are long enough to be looked for."""
    source = path.read_text(encoding="utf-8")
    found = of_python(source) if path.suffix == ".py" else of_shell(source)
    found = [text for text in found if not text.startswith(NO_MESSAGES)]
    return [text for text in found if max(map(len, parts(text)), default=0) >= FEWEST]


def test_every_message_is_on_the_page(sources):
    known = [re.compile(".*".join(map(re.escape, parts(row)))) for row in ours()]
    printed = {text for path in sources for text in messages(path)}

    missing = [text for text in printed if not any(row.search(text) for row in known)]
    assert sorted(missing) == [], "add a row to docs/error-messages.md"
    assert len(printed) > 80


def test_every_row_has_enough_of_its_message_to_stand_for_no_other():
    assert [row for row in ours() if max(map(len, parts(row)), default=0) < FEWEST] == []


def test_no_row_is_about_a_message_that_is_gone(sources):
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    text += (TEMPLATE / "hooks/post_gen_project.py").read_text()
    code = re.sub(r"""["']\s*\n\s*f?["']""", "", text)

    assert [row for row in ours() if not said(row, code)] == []


def said(row: str, code: str) -> bool:
    """Return whether every fixed part of a message is somewhere in the code."""
    return all(part in code for part in parts(row))


# cookiecutter's, uv's, Docker's and Python's own, in sections that have ours, too.
NOT_OURS = {
    'Error: "…" directory already exists',
    "ValueError: … provided for choice variable …",
    "PROBLEM …",
    "invalid peer certificate: UnknownIssuer",
    "CERTIFICATE_VERIFY_FAILED",
    "No solution found when resolving dependencies",
}
