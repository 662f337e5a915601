"""A build and a container whose only way out is a proxy that asks for a password."""

from __future__ import annotations

import base64
import os
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import BakedProject
from tests.support.light_project import LIGHT
from tests.support.workers import image_of

LOGIN = "someone:s3cr3t-of-the-proxy"


@dataclass
class Proxy:
    """An HTTP proxy on the loopback, and what it was asked for with the right password."""

    url: str
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Forwards plain requests and opens tunnels, for those who have the password."""

    def do_CONNECT(self) -> None:
        """Open a tunnel."""
        host, _, port = self.path.partition(":")
        if other := self.opened(host, int(port or 443)):
            self.send_response(200)
            self.end_headers()
            self.pass_on(other)

    def do_GET(self) -> None:
        """Forward a plain request."""
        url = urlsplit(self.path)
        if other := self.opened(url.hostname or "", url.port or 80):
            path = self.path.partition(url.netloc)[2] or "/"
            kept = [f"{n}: {v}" for n, v in self.headers.items() if not n.lower().startswith("proxy-")]
            kept = [line for line in kept if not line.lower().startswith("connection:")]
            lines = [f"{self.command} {path} HTTP/1.1", *kept, "Connection: close", "", ""]
            other.sendall("\r\n".join(lines).encode())
            self.pass_on(other)

    do_HEAD = do_GET

    def opened(self, host: str, port: int) -> socket.socket | None:
        """Return a connection to a server for who has the password; None once it is refused."""
        wanted = "Basic " + base64.b64encode(LOGIN.encode()).decode()
        if self.headers.get("Proxy-Authorization") != wanted:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="test"')
            self.end_headers()
            return None
        self.server.proxy.asked.append(f"{host}:{port}")
        self.close_connection = True
        return socket.create_connection((host, port), 20)

    def pass_on(self, other: socket.socket) -> None:
        """Copy both ways until one side is done."""
        pair = {self.connection: other, other: self.connection}
        while True:
            for ready in select.select(list(pair), [], [], 60)[0] or [None]:
                data = ready.recv(65536) if ready else b""
                if not data:
                    other.close()
                    return
                pair[ready].sendall(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that runs; its URL has the password."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.proxy = Proxy(f"http://{LOGIN}@127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.proxy
    server.shutdown()
    server.server_close()


@pytest.mark.nightly
@pytest.mark.parametrize("names", [("HTTP_PROXY", "HTTPS_PROXY"), ("http_proxy", "https_proxy")])
def test_a_build_goes_through_the_proxy_and_keeps_nothing_of_it(light: BakedProject, proxy: Proxy, names):
    settings = dict.fromkeys(names, proxy.url)

    done = light.run("docker", "compose", "build", "--no-cache", "--progress", "plain", **settings)
    history = light.run("docker", "history", "--no-trunc", image_of(LIGHT))
    shown = light.run("docker", "inspect", image_of(LIGHT))
    files = [
        "docker",
        "run",
        "--rm",
        "--entrypoint",
        "grep",
        image_of(LIGHT),
        "-rlIF",
        "s3cr3t",
        "/opt",
        "/usr/local",
    ]
    left = light.run(*files, "/etc", "/home", "/root", "/code", "/var/log")

    assert done.returncode == 0, done.stderr[-3000:]
    assert {urlsplit(f"//{asked}").port for asked in proxy.asked} >= {80, 443}  # apt, and pip or uv
    for text in (history.stdout, shown.stdout):
        assert "s3cr3t" not in text and "_proxy" not in text.lower()
    assert (left.returncode, left.stdout) == (1, ""), left.stderr  # 1: grep found none


def test_a_script_goes_through_the_proxy_but_not_to_its_own_servers(light: BakedProject, proxy: Proxy):
    fetch = (
        "import threading, http.server, urllib.request as u\n"
        "server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
        "print(u.urlopen(f'http://127.0.0.1:{server.server_port}/', timeout=20).status)\n"
        "try: u.urlopen('http://no.such.invalid/', timeout=20)\n"
        "except OSError as error: print(type(error).__name__)\n"
    )

    done = light.run(*("docker", "compose", "run", "--rm", "-T", "app", "-c", fetch), HTTP_PROXY=proxy.url)

    assert done.stdout.startswith("200\n"), done.stderr
    assert proxy.asked == ["no.such.invalid:80"]


def test_another_proxy_is_the_same_build(light: BakedProject):
    done = light.run("docker", "compose", "build", "--progress", "plain", HTTP_PROXY="http://other:1")

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("CACHED") >= 5


def test_without_settings_of_its_own_those_of_docker_s_client_count(light: BakedProject, tmp_path: Path):
    """In builds and in containers; an empty setting would have taken them away."""
    own = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))  # it has logins: nothing is copied
    host = light.run("docker", "context", "inspect", "--format={{.Endpoints.docker.Host}}").stdout.strip()
    (tmp_path / "cli-plugins").symlink_to(own / "cli-plugins")
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://client:1"}}}')
    client = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": host}

    done = light.run("docker", "compose", "run", "--rm", "-T", "app", "env", **client)

    assert done.returncode == 0, done.stderr
    assert {"HTTP_PROXY=http://client:1", "http_proxy=http://client:1"} <= set(done.stdout.splitlines())
