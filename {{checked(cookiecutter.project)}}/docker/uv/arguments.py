"""Read a command line of uv."""

from __future__ import annotations

import os
import re

# uv's global options, passed to each step of a command; those WITH_VALUE take a value.
GLOBAL = ("--quiet", "--verbose", "--offline", "--no-progress", "--no-cache", "--no-config")
GLOBAL += ("--system-certs", "--native-tls")
WITH_VALUE = ("--color", "--directory", "--project", "--config-file", "--cache-dir")
WITH_VALUE += ("--allow-insecure-host", "--trusted-host", "--refresh-package")
WITH_VALUE += ("--preview-features", "--preview-feature")
WITH_VALUE += ("--python-preference", "--python-fetch")
# With one of these, the command line itself says what to sync.
CHOSEN = ("--all-extras", "--only-group", "--only-dev", "--script")
NOT_SYNCED = ("--no-sync", "--frozen", "--script")
INFORMS = ("--help", "-h", "--version", "-V")
ACCELERATORS = ("nvidia", "cpu")
OFF = ("", "0", "false", "no", "off", "n", "f")  # what uv reads as no


def split(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the command, such as ["pip", "install"], uv's global options, and the words behind."""
    command, options, behind, rest = [], [], [], iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in WITH_VALUE:
            options += [name, value if equals else next(rest, "")]
        elif word in GLOBAL or re.fullmatch("-[nqv]+", word):
            options.append(word)
        elif not word.startswith("-") and not behind and command in ([], ["pip"], ["tool"]):
            command.append(word)
        elif command:
            behind.append(word)
    return command, options, behind


def values(words: list[str], *options: str) -> list[str]:
    """Return the values of options: behind `=`, or the next word."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        found += [value if equals else following] if name in options else []
    return found


def given(words: list[str], *options: str) -> bool:
    """Return whether one of the options is given, also as --option=value."""
    return any(word.partition("=")[0] in options for word in words)


def is_chosen(words: list[str]) -> bool:
    """Return whether the command line itself says which accelerator's packages to install."""
    extras = ",".join(values(words, "--extra")).lower().split(",")
    return given(words, *CHOSEN) or bool({*extras} & {*ACCELERATORS})


def is_unsynced(words: list[str]) -> bool:
    """Return whether `uv add` or `uv remove` was told not to install."""
    settings = (os.environ.get(name, "").lower() for name in ("UV_NO_SYNC", "UV_FROZEN"))
    return given(words, *NOT_SYNCED) or any(setting not in OFF for setting in settings)


def part_of(words: list[str]) -> list[str]:
    """Return the option of `uv sync` for the group or extra that a command changes, if any."""
    if given(words, "--package"):  # a group of another project
        return []
    if given(words, "--dev"):
        return ["--group", "dev"]
    groups = [["--group", name] for name in values(words, "--group")]
    extras = [["--extra", name] for name in values(words, "--optional")]
    return next(iter([*groups, *extras]), [])
