"""docker/with-network.sh: what a command gets of the proxies' settings."""

from __future__ import annotations

import shutil

import pytest

PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize(
    ("shell", "dotenv", "direct"),
    [
        ("", "", "localhost,127.0.0.1"),
        ("", ".example.com", ".example.com,localhost,127.0.0.1"),
        ("localhost", ".example.com", "localhost,.example.com,127.0.0.1"),
        (".example.com", ".example.com", ".example.com,localhost,127.0.0.1"),
        ("*", "", "*"),
    ],
)
def test_hosts_without_a_proxy_are_those_of_the_shell_and_of_env(bake, shell, dotenv, direct):
    """Compose passes both spellings on, each from where it is set."""
    command = ["env", "-i", f"http_proxy={PROXY}", f"no_proxy={shell}", f"NO_PROXY={dotenv}"]

    done = bake().run(*command, shutil.which("sh"), "docker/with-network.sh", shutil.which("env"))

    settings = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert settings["no_proxy"] == settings["NO_PROXY"] == direct
    assert settings["HTTP_PROXY"] == PROXY
