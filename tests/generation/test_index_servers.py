"""The servers of package indexes, as uv and pip compare them with a trusted host."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from tests.conftest import generate


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module of a project."""
    project = generate(tmp_path_factory.mktemp("servers"), private_index="https://pypi.example.com/simple")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project.path / "docker/with-index")
        yield importlib.import_module("servers")
    del sys.modules["servers"]


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
def test_a_trusted_host_is_written_as_the_url_of_the_index_has_it(servers, url, trusted, names):
    server = servers.Server.of(url)

    assert str(server) == trusted
    assert server.url == f"{url.split(':')[0]}://{trusted}"
    assert {name for name in {*names, "g", "h:1", "[::1]:1"} if server.is_named_by(name)} == names
