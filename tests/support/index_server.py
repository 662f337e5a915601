"""Serve package indexes for the tests: pypiserver on the loopback, with optional accounts and TLS."""

from __future__ import annotations

import base64
import random
import ssl
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pypiserver
import trustme
from passlib.apache import HtpasswdFile


@dataclass(frozen=True)
class PackageIndex:
    """A running package index."""

    root: str  # http://HOST:PORT
    authority: Path | None = None  # the CA certificate to trust

    @property
    def url(self) -> str:
        """Return the URL that a project names."""
        return f"{self.root}/simple"

    @property
    def host(self) -> str:
        """Return its host."""
        return urlsplit(self.root).hostname


class Server(ThreadingMixIn, WSGIServer):
    """A server with one thread for each request: an open connection blocks no other client."""

    daemon_threads = True


class Shared(Server):
    """A server that shares its address with those of other runs; all have the same files and accounts."""

    allow_reuse_port = True


class Quiet(WSGIRequestHandler):
    """Says nothing."""

    def log_message(self, *_: object) -> None:
        """Drop the line."""


def new_address() -> str:
    """Return a new loopback address: uv caches an index for ten minutes, and ports are reused."""
    return f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


def address_of(content: str) -> tuple[str, int]:
    """Return the address of an index with this content: the same one in every run."""
    number = zlib.crc32(content.encode())
    return f"127.84.{number % 256}.{number // 256 % 256}", 20_000 + number // 65536 % 10_000


@contextmanager
def package_index(
    folder: Path,
    packages: Mapping[str, str],
    accounts: Mapping[str, str] | None = None,
    *,
    needs: Mapping[str, str] | None = None,
    tls: bool = False,
    public: bool = False,
    content: str = "",
) -> Iterator[PackageIndex]:
    """Serve one wheel for each of `packages` (name: version) from `folder`, which must not exist yet.

    `needs` names the package that one of them requires.

    With `accounts` (name: password) it requires a login. With `public`, or without accounts, it redirects
    requests for other packages to the real public index.

    With `content`, which stands for what is served beside them, its address is the same in every run: a
    build finds the steps of an earlier run in the engine's cache. Those print nothing, so it is not for tests
    of what a successful build prints.
    """
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    for name, version in packages.items():
        write_wheel(wheels, name, version, (needs or {}).get(name))
    options = {"roots": [wheels], "disable_fallback": accounts is not None and not public}
    if accounts is not None:
        options |= {"password_file": str(htpasswd(folder, accounts)), "authenticate": ["list", "download"]}
    files = {wheel.name: zlib.crc32(wheel.read_bytes()) for wheel in sorted(wheels.iterdir())}
    everything = (content, files, accounts, public)
    host, port = address_of(str(everything)) if content else (new_address(), 0)
    kind = Shared if content else Server
    with make_server(host, port, pypiserver.app(**options), kind, Quiet) as server:
        authority = wrap(server, host, folder) if tls else None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scheme = "https" if tls else "http"
        yield PackageIndex(f"{scheme}://{host}:{server.server_port}", authority)
        server.shutdown()


@dataclass
class Listener:
    """A server that always requires a login, and the requests: the first folder of the URL, the login."""

    root: str
    seen: list[tuple[str, str]] = field(default_factory=list)

    def names(self) -> set[str]:
        """Return the requested folders."""
        return {name for name, _ in self.seen}

    def logins(self) -> set[tuple[str, str]]:
        """Return each received login with its folder."""
        return {(name, login) for name, login in self.seen if login}


@contextmanager
def listener(redirect: str = "") -> Iterator[Listener]:
    """Listen on the loopback; answer with 401, or redirect to another server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            login = self.headers.get("Authorization", "").removeprefix("Basic ")
            found.seen.append((self.path.split("/")[1], base64.b64decode(login).decode()))
            self.send_response(302 if redirect else 401)
            self.send_header(*(("Location", redirect + self.path) if redirect else ASKS))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    host = new_address()
    with ThreadingHTTPServer((host, 0), Handler) as server:
        found = Listener(f"http://{host}:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


ASKS = ("WWW-Authenticate", "Basic")


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    needs: str | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write a wheel with one module, whose VERSION identifies it; `files` are added."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requirement = f"Requires-Dist: {needs}\n" if needs else ""
    files = {
        **(files or {}),
        f"{module}.py": f'"""A package for tests."""\n\nVERSION = "{version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(zipfile.ZipInfo(path), text)  # without the time: uv.lock has the wheel's hash


def htpasswd(folder: Path, accounts: Mapping[str, str]) -> Path:
    """Write the accounts in Apache's format and return the file."""
    file = HtpasswdFile(str(folder / "htpasswd"), new=True)
    for account, password in accounts.items():
        file.set_password(account, password)
    file.save()
    return folder / "htpasswd"


def wrap(server: WSGIServer, host: str, folder: Path) -> Path:
    """Make the server use TLS and return the certificate of its own CA."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    return folder / "authority.pem"
