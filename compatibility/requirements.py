"""Parse the requirements of packages, also in threads."""

from __future__ import annotations

from threading import Lock

from packaging.requirements import Requirement

ONE_AT_A_TIME = Lock()


def parse_requirement(text: str) -> Requirement:
    """Return a requirement such as "numpy>=2; extra == 'gpu'". Raises InvalidRequirement.

    packaging reads a marker with `ast`, whose parser fails in threads before Python 3.11.8
    (python/cpython issue 106905).
    """
    with ONE_AT_A_TIME:
        return Requirement(text)
