"""The threads of compatibility/ parse requirements one at a time: Python before 3.11.8 fails otherwise."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from packaging.requirements import InvalidRequirement

from compatibility import requirements
from tests.conftest import TEMPLATE


def test_no_two_threads_parse_at_the_same_time(monkeypatch: pytest.MonkeyPatch):
    inside, overlaps = [], []

    def parse(text: str) -> str:
        inside.append(text)
        time.sleep(0.001)
        overlaps.extend(inside[1:])
        inside.remove(text)
        return text

    monkeypatch.setattr(requirements, "Requirement", parse)
    asked = [f"numpy>={number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(requirements.parse_requirement, asked)) == asked

    assert overlaps == []


def test_a_requirement_that_cannot_be_parsed_does_not_stop_the_next():
    with pytest.raises(InvalidRequirement):
        requirements.parse_requirement("numpy>=")

    assert requirements.parse_requirement("numpy>=2; extra == 'gpu'").name == "numpy"


def test_every_module_of_compatibility_parses_them_there():
    imports = re.compile(r"packaging\.(?:requirements|markers) import (.*)")
    taken = {
        path.name: imports.findall(path.read_text(encoding="utf-8"))
        for path in (TEMPLATE / "compatibility").rglob("*.py")
    }

    assert taken.pop("requirements.py") == ["Requirement"]
    assert {name for names in taken.values() for name in names} == {"InvalidRequirement"}
