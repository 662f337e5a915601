"""The indexes of a pyproject.toml, and their servers, as uv and pip compare them with a trusted host."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.conftest import generate

MODULES = ("servers", "projects")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """The modules of a project."""
    project = generate(tmp_path_factory.mktemp("servers"), private_index="https://pypi.example.com/simple")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project.path / "docker/with-index")
        yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("url", "trusted", "names"),
    [
        # the port of the scheme is in no URL
        ("https://h/simple", "h", {"h", "H", "h:443"}),
        ("http://h/simple", "h", {"h", "h:80"}),
        ("https://h:443/simple", "h", {"h", "h:443"}),
        ("https://h:80/simple", "h:80", {"h", "h:80"}),
        ("http://h:8080/simple", "h:8080", {"h", "h:8080"}),
        ("https://[::1]/simple", "[::1]", {"::1", "[::1]", "[::1]:443"}),
        ("https://[::1]:8443/simple", "[::1]:8443", {"::1", "[::1]", "[::1]:8443"}),
    ],
)
def test_a_trusted_host_is_written_as_the_url_of_the_index_has_it(modules, url, trusted, names):
    server = modules["servers"].Server.of(url)

    assert str(server) == trusted
    assert server.url == f"{url.split(':')[0]}://{trusted}"
    assert {name for name in {*names, "g", "h:1", "[::1]:1"} if server.is_named_by(name)} == names


PRIVATE = '[[tool.uv.index]]\nname = "private"\nurl = "https://h/simple"\n'
OTHER = '[[tool.uv.index]]\nname = "other"\nurl = "https://g/simple"\n'


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE,
        f'{OTHER}{PRIVATE}[tool.uv.sources]\na.index = "private"\nb.git = "https://g/b"\n',
        f'{OTHER}{PRIVATE}[tool.uv.sources]\nb = [{{ index = "private" }}, {{ index = "other" }}]\n',
        f'\ufeff{PRIVATE}[tool.uv.sources]\n"a.b" = {{ index = "private" }}\n',
        "[[tool.uv.index]]\nname = 'private'\nurl = 7\n",
        "[[tool.uv.index]]\nname = 7\nurl = 'https://h/simple'\n",
        "[tool.uv]\nindex = 7\n",
        "<<<<<<< HEAD\n",
        None,
    ],
    ids=["one", "one unused", "two", "a quoted name", "no text", "no name", "no list", "invalid", "no file"],
)
def test_the_step_that_installs_uv_sees_the_same_indexes(modules, tmp_path, text):
    """In a file of their own."""
    projects = modules["projects"]
    whole, reduced = tmp_path / "whole/pyproject.toml", tmp_path / "reduced/pyproject.toml"
    for path in (whole, reduced):
        path.parent.mkdir()
    if text is not None:
        whole.write_text(text)

    reduced.write_text(projects.only_indexes(whole))

    assert projects.indexes_of(reduced) == projects.indexes_of(whole)


def test_every_character_of_a_password_can_be_written_as_toml(modules):
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0x1F600, 0x10FFFF]))

    assert tomllib.loads(f"password = {modules['projects'].toml(every)}") == {"password": every}


def test_an_added_package_does_not_change_that_file(modules, tmp_path):
    path = tmp_path / "pyproject.toml"
    sources = '[tool.uv.sources]\nin-house.index = "private"\n'
    path.write_text(PRIVATE + sources)
    before = modules["projects"].only_indexes(path)

    path.write_text(f'{PRIVATE}{sources}acme.index = "private"\n')

    assert "https://h/simple" in before
    assert modules["projects"].only_indexes(path) == before
