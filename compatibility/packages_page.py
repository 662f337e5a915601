"""Write docs/packages.md from the verdicts of compatibility/packages.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from compatibility.docs import table
from compatibility.uv_add import ACCELERATORS
from compatibility.verdicts import AGREES, REFUSED, SYSTEM, Verdict, counts

if TYPE_CHECKING:
    from compatibility.packages import Package

PAGE = Path(__file__).resolve().parent.parent / "docs" / "packages.md"
MOST_REASONS = 2
Found = dict[tuple[str, str, str], Verdict]  # by package, line, accelerator

HEAD = """\
<!-- Written by `make packages` from compatibility/packages.yaml: change that file, not this one. -->
# Which packages can be added

`uv add NAME` in a generated project, tried with {packages} packages in every [line](compatibility.md),
with a GPU (`nvidia`) and without (`cpu`).

**{packages} packages x {lines} lines x {accelerators} accelerators: {agrees} agree,
{system} agree with a system package, {refused} refused.**
uv resolves {silent} of the refused without an error. {starred} that agree have unread files (`*`).
Date: {today}; uv {uv}.

- *agrees*: uv resolves it with the line's ONNX Runtime and PyTorch, and no library is missing.
- *agrees with* `name`: the same, once that Ubuntu package is in `docker/apt-packages.txt`.
- *refused*: it needs another CUDA, another PyTorch, or a library that is nowhere. See [why](#refused).
- With `cpu`, NVIDIA's libraries (`nvidia-…`) that a package brings are no reason: they take space only.

The number is the version that uv chose, with the newest one where that is another.
`*`: some files, its own or of dependencies, are too large and were [not read](#how-packages-were-checked).
*Image's Python alone*: uv resolves for every Python and machine that `pyproject.toml` allows.
For one of them there is no ONNX Runtime. Name in `environments` what the image has, and uv finds the package:
`environments = ["sys_platform == 'linux' and platform_machine == 'x86_64' and python_version == '3.10'"]`.
"""

REFUSED_HEAD = """\
## Refused
"""

WHAT_TO_DO = """\
## If a package is refused

Take another line if the package agrees there.
If the reason is a build for CUDA in `cpu`, add it for the GPU alone: `uv add --optional nvidia NAME`.
If it is another PyTorch, run the package in a container of its own, and call it over HTTP.
Do not install it with `--no-deps` or pip: it may import, and fail in the first call.

torchvision and torchaudio for a CPU come from PyTorch's index only if the project names them in both extras,
as it does `torch`:

```toml
[project.optional-dependencies]
nvidia = ["torchvision==VERSION", …]
cpu = ["torchvision==VERSION", …]

[tool.uv.sources]
torchvision = [{ index = "pytorch-cpu", extra = "cpu" }]
```
"""

HOW = """\
## How packages were checked

- Resolved: `uv add` in a project generated for the line.
  Looked at: what its Python installs on x86-64 with its Ubuntu's glibc.
  PyTorch is pinned by the extras, ONNX Runtime is overridden,
  and every OpenCV but `opencv-python-headless` is excluded.
  torchvision and torchaudio are in both extras if a package brings them.
- PyTorch for a CPU is a stand-in: the metadata and the libraries of the build for CUDA, without CUDA.
  torchvision and torchaudio for a CPU were not looked into.
- Looked at: the files of every wheel in the resolution. The libraries of each extension module, and those
  that these need, are searched in its wheel, the other wheels, the image, the driver, and Ubuntu's packages.
- A package without a wheel was not built. The build of the image has a compiler for C and C++.
- Nothing was run. A package may still fail for another reason, such as a function that NumPy 2 removed.
- What Python code opens by name is found where it calls `find_library`, in small wheels.
"""


def page(packages: list[Package], lines: list[str], found: Found, today: str, uv: str) -> str:
    """Return the text of the page."""
    number = counts(found)
    head = HEAD.format(
        packages=len(packages),
        lines=len(lines),
        accelerators=len(ACCELERATORS),
        agrees=number[AGREES],
        system=number[SYSTEM],
        refused=number[REFUSED],
        silent=sum(bool(item.version) for item in found.values() if item.kind == REFUSED),
        starred=sum(bool(item.unread) for item in found.values() if item.kind != REFUSED),
        today=today,
        uv=uv,
    )
    parts = [head, tables(packages, lines, found), WHAT_TO_DO, HOW + unread(found)]
    return "\n".join(parts)


def tables(packages: list[Package], lines: list[str], found: Found) -> str:
    """Return a table for each category, and that of the refusals."""
    parts = []
    for category in dict.fromkeys(package.category for package in packages):
        parts += [f"## {category}\n"]
        rows = [row(package, lines, found) for package in packages if package.category == category]
        parts += [*table(["package", "environment", *lines], rows), ""]
    refused = [line for package in packages for line in refusals(package, lines, found)]
    if refused:
        parts += [REFUSED_HEAD, *table(["package", "where", "why", "instead"], refused), ""]
    return "\n".join(parts)


def row(package: Package, lines: list[str], found: Found) -> list[str]:
    """Return the cells of a package."""
    name = f"`{package.name}`" + (f": {package.note}" if package.note else "")
    return [name, f"`{package.environment}`", *(cell(package.name, line, found) for line in lines)]


def cell(name: str, line: str, found: Found) -> str:
    """Return the verdict on a package in a line, once if it is the same for both accelerators."""
    texts = {accelerator: words(found[name, line, accelerator]) for accelerator in ACCELERATORS}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"`{accelerator}`: {text}" for accelerator, text in texts.items())


def words(verdict: Verdict) -> str:
    """Return a verdict in a few words."""
    if verdict.kind == REFUSED:
        return "[refused](#refused)"
    if verdict.replaced:
        return "agrees: the project's OpenCV takes its place"
    needs = " with " + ", ".join(f"`{name}`" for name in verdict.system) if verdict.system else ""
    newest = f" (newest: {verdict.newest})" if verdict.newest else ""
    alone = ", image's Python alone" if verdict.narrowed else ""
    return f"agrees{needs}, {verdict.version}{newest}{alone}{'*' if verdict.unread else ''}"


def brief(by_accelerator: dict[str, Verdict]) -> str:
    """Return a line of progress."""
    texts = [f"{name} {verdict.kind}" for name, verdict in by_accelerator.items()]
    return ", ".join(texts)


def refusals(package: Package, lines: list[str], found: Found) -> list[list[str]]:
    """Return the rows of a package among the refusals, one for each reason."""
    where: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for line in lines:
        for accelerator in ACCELERATORS:
            verdict = found[package.name, line, accelerator]
            if verdict.kind == REFUSED:
                where.setdefault(verdict.reasons[:MOST_REASONS], []).append((line, accelerator))
    return [
        [f"`{package.name}`", places(at, lines), ". ".join(reasons), instead(package, at, lines, found)]
        for reasons, at in where.items()
    ]


def places(at: list[tuple[str, str]], lines: list[str]) -> str:
    """Return the lines and accelerators of a refusal; a line refused for both, by its name alone."""
    texts = []
    for line in lines:
        accelerators = [accelerator for one, accelerator in at if one == line]
        if accelerators:
            texts.append(line if len(accelerators) == len(ACCELERATORS) else f"{line} `{accelerators[0]}`")
    return ", ".join(texts)


def instead(package: Package, at: list[tuple[str, str]], lines: list[str], found: Found) -> str:
    """Return what to do about a refusal, from the lines where the package works."""
    if package.instead:
        return package.instead
    with_gpu = [line for line in lines if found[package.name, line, "nvidia"].kind != REFUSED]
    add = f"`uv add --optional nvidia '{package.name}'`: for the GPU alone"
    if with_gpu and all(accelerator == "cpu" for _, accelerator in at):
        return add if {line for line, _ in at} <= {*with_gpu} else f"in {' or '.join(with_gpu)}, {add}"
    if with_gpu:
        return f"the line {' or '.join(with_gpu)}"
    return "a container of its own"


def unread(found: Found) -> str:
    """Return which compiled files were too large to be read."""
    names = sorted({path.partition(":")[0] for verdict in found.values() for path in verdict.unread})
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return wrapped(f"- Files of more than 128 MB, compressed, were not read (*); such are in {listed}.")


def wrapped(text: str, width: int = 118) -> str:
    """Return one item of a list in lines of at most `width` columns."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append(" ")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines) + "\n"


def short(error: str) -> str:
    """Return the first cause in uv's message, without paths and hints."""
    text = re.sub(r"\s*hint:.*", "", error)
    cause = re.search(r"Because .*?(?=, we can conclude|, your project|\. And because|$)", text)
    text = cause[0] if cause else re.sub(r".*?error: ", "", text)
    text = text.replace("|", "/").replace("my-project", "the project")
    return text if len(text) <= 240 else f"{text[:240].rsplit(' ', 1)[0]} …"
