"""Compare versions of Python packages as PEP 440 defines."""

from __future__ import annotations

import re

VERSION = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>a|b|c|rc|alpha|beta|pre|preview)[-_.]?(?P<number>\d*))?"
    r"(?P<post>-\d+|[-_.]?(?:post|rev|r)[-_.]?\d*)?"
    r"(?P<dev>[-_.]?dev[-_.]?\d*)?(?:\+(?P<local>[\w.-]+))?",
    re.IGNORECASE,
)
STAGES = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
Key = tuple[int, tuple[int, ...], tuple[int, int], int, float]


def compare(version: str, operator: str, other: str) -> bool:
    """Return whether `version operator other` holds; True if one of them is no version."""
    if operator == "===":
        return version == other
    if other.endswith(".*"):
        within = starts_with(version, other[:-2])
        return within is None or within == (operator == "==")
    mine, theirs = key(version), key(other)
    if mine is None or theirs is None:
        return True
    if operator == "~=":
        within = starts_with(version, ".".join(release(other).split(".")[:-1]))
        return mine >= theirs and within is not False
    if operator in ("==", "!="):
        same = mine == theirs and ("+" not in other or version.lower() == other.lower())
        return same == (operator == "==")
    if operator == "<":  # PEP 440 excludes pre-releases of the version itself
        own = mine[:2] == theirs[:2] and theirs[2:4] == ((9, 0), -1)
        return mine < theirs and not own
    if operator == ">":  # and its post-releases
        own = mine[:3] == theirs[:3] and mine[3] >= 0 > theirs[3]
        return mine > theirs and not own
    return mine >= theirs if operator == ">=" else mine <= theirs


def release(version: str) -> str:
    """Return 2.14.0 for 2.14.0a0+git.nv26, "" if it is no version."""
    match = VERSION.fullmatch(version.strip())
    return match["release"] if match else ""


def starts_with(version: str, prefix: str) -> bool | None:
    """Return whether a version begins with a prefix such as 2.14, None if one is no version."""
    mine, theirs = release(version), release(prefix)
    if not mine or not theirs:
        return None
    numbers, first = (list(map(int, text.split("."))) for text in (mine, theirs))
    numbers += [0] * (len(first) - len(numbers))
    return numbers[: len(first)] == first


def key(version: str) -> Key | None:
    """Return a sort key for a version without its local part, None if it is no version."""
    match = VERSION.fullmatch(version.strip())
    if not match:
        return None
    numbers = list(map(int, match["release"].split(".")))
    while numbers and numbers[-1] == 0:
        numbers.pop()
    post = int(re.sub(r"\D", "", match["post"]) or 0) if match["post"] else -1
    dev = float(re.sub(r"\D", "", match["dev"]) or 0) if match["dev"] else float("inf")
    if match["pre"]:
        pre = (STAGES[match["pre"].lower()], int(match["number"] or 0))
    else:
        pre = (-1, 0) if match["dev"] and post < 0 else (9, 0)
    return int(match["epoch"] or 0), tuple(numbers), pre, post, dev
