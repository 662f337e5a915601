{% set stack = cookiecutter | stack %}
"""Add or remove a package: all of the change, or nothing."""

from __future__ import annotations

import os
{% if stack.cuda_from != 'ngc' %}
import re
{% endif %}
import shutil
from pathlib import Path

from accelerator import extra, of_accelerator
from arguments import ACCELERATORS, part_of
from program import say, uv
from workspace import project, read, whole, workspace


def change(words: list[str], command: str, options: list[str]) -> int:
    """Add or remove a package and return the exit code.

    If it fails, pyproject.toml and uv.lock are restored.
    """
    folder = project(options)
    files = (folder / "pyproject.toml", workspace(folder) / "uv.lock")
    before = {path: read(path) for path in files}
    installed = False
    try:
        os.environ["UV_NO_SYNC"] = "1"
        failed = uv(words)
        del os.environ["UV_NO_SYNC"]
        if failed:
            return failed
        # as uv does: only `remove` uninstalls packages of `uv pip install`
        keep = ["--inexact", *with_part(part_of(words))] if command == "add" else []
        sync = whole([*options, "sync", *keep], folder)
        failed = uv([*sync, *of_accelerator({{ 'keep' if stack.cuda_from == 'ngc' }})])
        installed = not failed
    finally:  # on SIGTERM, too
        if not installed:
            restore(before)
    if failed:
        say("the installation failed, so pyproject.toml and uv.lock are unchanged")
        if not shutil.which("cc"):
            say("a package without a wheel needs a compiler, which only the image build has:")
            say("docker compose run --rm app uv add --no-sync NAME, then docker compose build")
    return failed


def with_part(part: list[str]) -> list[str]:
    """Return a part's option, without one that of_accelerator() has, or that excludes it."""
    group = os.environ.get("SYNC_GROUP")
    known = (["--group", group], *(["--extra", name] for name in ACCELERATORS))
    return [] if part in known else part


def restore(before: dict[Path, bytes | None]) -> None:
    """Restore the content of files; remove those that did not exist."""
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        elif read(path) != content:
            path.write_bytes(content)


def next_build(command: str, part: list[str], folder: Path) -> str:
    """Return one line on how the next containers get a change, "" if they do so anyway."""
    option, name = part or ("", "")
    in_dev = os.environ.get("SYNC_GROUP") == "dev"
    if option == "--extra" and name in {*ACCELERATORS} - {extra()[1]}:
        return f"this is for ACCELERATOR={name} alone: set it in .env, then docker compose build"
    if part == ["--group", "dev"] and not in_dev:
        files = "-f compose.yaml -f .devcontainer/compose.yaml"
        return f"this is for the dev container alone: docker compose {files} build"
    built = ACCELERATORS if option == "--extra" else ("", "dev", *built_groups(workspace(folder)))
    if name not in built:
{% if stack.cuda_from == 'ngc' %}
        place = '{ include-group = "' + name + '" } to the group test in pyproject.toml'
{% else %}
        place = f'"{name}" to default-groups in pyproject.toml'
{% endif %}
        how = "it without --optional" if option == "--extra" else f"{place}, uv lock, build again"
        return "" if command == "remove" else f"only this container has it, and no build: add {how}"
    line = "this container has the change; for the next ones: docker compose build"
    return "" if in_dev else line  # the dev container keeps its packages


def built_groups(folder: Path) -> list[str]:
    """Return the dependency groups that each build installs."""
{% if stack.cuda_from == 'ngc' %}
    return ["test"{{ ', "notebook"' if cookiecutter.notebook }}{{ ', "ray"' if cookiecutter.__ray }}]  # see docker/Dockerfile
{% else %}
    text = read(folder / "pyproject.toml") or b""
    found = re.search(rb"(?s)\ndefault-groups *= *\[(.*?)\]", text)
    return re.findall(r"""["'](.+?)["']""", found[1].decode()) if found else []
{% endif %}
