"""GPU architectures are read from the first fat binary of a library, however it lies in the file."""

from __future__ import annotations

import io

import pytest

from compatibility import fatbin
from tests.support.tiny_fatbin import tiny_fatbin


@pytest.mark.parametrize(
    "before", [0, 1, fatbin.CHUNK - 1, fatbin.CHUNK - 8, fatbin.CHUNK - 15, 3 * fatbin.CHUNK]
)
def test_the_architectures_are_read_wherever_the_first_fat_binary_begins(before):
    library = bytes(before) + tiny_fatbin(["7.5", "12.0a", "9.0+PTX", "9.0a", "9.0"], bytes(fatbin.CHUNK))

    found = fatbin.architectures(io.BytesIO(library + tiny_fatbin(["10.3"])))

    assert found == ["7.5", "9.0", "9.0+PTX", "9.0a", "12.0a"]


def test_what_follows_the_first_fat_binary_is_not_read():
    library = io.BytesIO(tiny_fatbin(["8.0"]) + bytes(9 * fatbin.CHUNK))

    fatbin.architectures(library)

    assert library.tell() <= fatbin.CHUNK


def test_a_number_that_only_looks_like_a_header_is_passed_over():
    lookalike = fatbin.MAGIC + b"\xff" * 8

    assert fatbin.architectures(io.BytesIO(lookalike + tiny_fatbin(["8.9"]))) == ["8.9"]


@pytest.mark.parametrize(
    "library",
    [b"", b"\x7fELF", fatbin.MAGIC + bytes(8), tiny_fatbin(["8.0"])[:30], tiny_fatbin([]) + bytes(99)],
    ids=["empty", "no code", "an empty fat binary", "cut off", "no architecture"],
)
def test_a_library_without_code_is_said(library):
    with pytest.raises(fatbin.NoCode):
        fatbin.architectures(io.BytesIO(library))
