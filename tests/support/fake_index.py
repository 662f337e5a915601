"""Serve a package index on the loopback; its small wheels match the matrix until a test changes them."""

from __future__ import annotations

import functools
import io
import itertools
import json
import re
import threading
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

from capy_template.matrix import DISTRIBUTIONS, MACHINES
from tests.support.tiny_fatbin import tiny_fatbin

LINUX = "manylinux_2_28_x86_64"
LIBRARIES = {
    "onnxruntime": "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    "torch": "torch/lib/libtorch_cuda.so",
}
CUDNN_OPS = "nvidia/cudnn/lib/libcudnn_ops.so.9"
# More than remotezip and uv read at once, so that a full download is noticed.
PADDING = 2_000_000


@dataclass
class FakeIndex:
    """The packages and wheels of an index, and how its server behaves."""

    wheels: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by package, by file name
    yanked: set[str] = field(default_factory=set)  # names of files
    pythons: dict[str, str] = field(default_factory=dict)  # by file name, if not as in its tag
    broken: set[str] = field(default_factory=set)  # packages whose pages fail
    ranges: bool = True
    part: bytes | None = None  # sent in place of any part of a wheel, as by a broken proxy
    status: int = 200
    sent: Counter[str] = field(default_factory=Counter)  # bytes of each wheel
    port: int = 0

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}/simple/"

    def add(
        self,
        name: str,
        version: str,
        tag: str = "py3-none-any",
        needs: Iterable[str] = (),
        binaries: Mapping[str, bytes] = MappingProxyType({}),
        **files: str,
    ) -> None:
        """Put a wheel on the index; `files`: its contents by their paths, `__` for a slash."""
        python = f">=3.{tag[3:5]}" if tag.startswith("cp") else ">=3"
        base = f"{name.replace('-', '_')}-{version}"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}"]
        metadata += ["Provides-Extra: cuda\nProvides-Extra: cudnn"]
        metadata += [f"Requires-Dist: {need}" for need in needs]
        contents: dict[str, str | bytes] = {**binaries}
        contents |= {path.replace("__", "/") + ".py": text for path, text in files.items()}
        contents[f"{base}.dist-info/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        contents[f"{base}.dist-info/METADATA"] = "\n".join(metadata) + "\n"
        contents[f"{base}.dist-info/RECORD"] = ""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("padding.bin", bytes(PADDING))
            for path, text in contents.items():
                archive.writestr(path, text)
        self.wheels.setdefault(name, {})[f"{base}-{tag}.whl"] = packed.getvalue()

    def remove(self, name: str, version: str, tag: str = "") -> None:
        """Take a version away, or only its wheels with a tag."""
        pattern = re.compile(rf"[^-]+-{re.escape(version)}-.*{tag}")
        self.wheels[name] = {
            file: data for file, data in self.wheels[name].items() if not pattern.match(file)
        }

    def page(self, name: str) -> bytes:
        """Return the page of a package."""
        files = [
            {
                "filename": file,
                "url": f"/files/{name}/{file}",
                "hashes": {},
                "requires-python": self.pythons.get(file, ">=3"),
                "yanked": "it was bad" if file in self.yanked else False,
            }
            for file in self.wheels[name]
        ]
        return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": files}).encode()


def agreeing_with(matrix: dict[str, Any]) -> FakeIndex:
    """Return an index that matches the matrix."""
    wheels = wheels_of(json.dumps(matrix, default=str))
    return FakeIndex({name: dict(files) for name, files in wheels.items()})


@functools.lru_cache(maxsize=1)  # they take hundreds of MB
def wheels_of(text: str) -> dict[str, dict[str, bytes]]:
    """Return the wheels for a matrix as JSON, made once: dozens of tests begin with the same ones."""
    index, matrix = FakeIndex(), json.loads(text)
    for line in matrix["lines"].values():
        facts = {name: fact["value"] for name, fact in line.items() if isinstance(fact, dict)}
        add_pinned(index, facts)
        packages = {name for use in matrix["environments"].values() for name in use["packages"]}
        for name in packages - {"onnxruntime", "torch", "torchvision"}:
            index.add(DISTRIBUTIONS.get(name, name), re.search(r">=([\d.]+)", facts[name])[1])
    return index.wheels


def add_pinned(index: FakeIndex, facts: dict[str, Any], **changes: Any) -> None:
    """Put the pinned packages of a line on the index; `changes`: facts that differ there."""
    major, cudnn = facts["cuda"], facts["torch_cudnn"]
    cuda = [text for text in facts["onnxruntime_cuda"] if "cudnn" not in text]
    said = {
        **facts,
        "built_for": f"{major}.0",
        "cuda_extra": cuda,
        "extra": f"nvidia-cudnn-cu{major}",
        **changes,
    }
    gpus = {name for part in LIBRARIES for names in said[f"{part}_architectures"].values() for name in names}
    code = tiny_fatbin(said.get("cudnn_code", sorted(gpus)))
    index.add(f"nvidia-cudnn-cu{major}", cudnn, binaries={CUDNN_OPS: b"\x7fELF" + code})
    for name, version in (text.split("~=") for text in cuda):
        index.add(name, f"{facts['torch_cuda']}.1" if "nvrtc" in name else f"{version}.1")
    index.add("torchaudio", facts["torchaudio"])
    lowest, highest = (int(facts[name].split(".")[1]) for name in ("lowest_python", "highest_python"))
    for minor, machine in itertools.product(range(lowest, highest + 1), MACHINES):
        add_wheels(index, facts, said, f"cp3{minor}-cp3{minor}", machine)


def add_wheels(
    index: FakeIndex, facts: dict[str, Any], said: dict[str, Any], python: str, machine: str
) -> None:
    """Put the wheels of the frameworks for one Python and one processor on the index."""
    code = {name: said[f"{name}_architectures"][machine] for name in LIBRARIES}
    libraries = {name: {path: b"\x7fELF" + tiny_fatbin(code[name])} for name, path in LIBRARIES.items()}
    tag = f"{python}-manylinux_{said['glibc'][machine].replace('.', '_')}_{machine}"
    major, cudnn = facts["cuda"], facts["torch_cudnn"]
    extras = [f"{text}; extra == 'cuda'" for text in said["cuda_extra"]]
    extras += [f"{said['extra']}~={facts['cudnn']}.0; extra == 'cudnn'"]
    if code["onnxruntime"]:
        about = f"package_name = 'onnxruntime-gpu'\ncuda_version = '{said['built_for']}'\n"
        index.add(
            "onnxruntime-gpu",
            facts["onnxruntime"],
            tag,
            extras,
            libraries["onnxruntime"],
            onnxruntime__capi__build_and_package_info=about,
        )
    index.add("onnxruntime", facts["onnxruntime"], tag)
    cuda = repr(said["torch_cuda"]) if code["torch"] else None
    about = f"from typing import Optional\n\ncuda: Optional[str] = {cuda}\n"
    needs = [said.get("torch_needs", f"nvidia-cudnn-cu{major}=={cudnn}")] if code["torch"] else []
    binaries = libraries["torch"] if code["torch"] else {}
    index.add("torch", facts["torch"], tag, needs, binaries, torch__version=about)
    index.add("torchvision", facts["torchvision"], tag, [f"torch=={said.get('vision_for', facts['torch'])}"])


@contextmanager
def served(index: FakeIndex) -> Iterator[FakeIndex]:
    """Serve an index on the loopback and set its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a whole answer at once

        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if index.status != 200 or parts[1] in index.broken:
                self.reply(500 if index.status == 200 else index.status, b"")
            elif parts[0] == "simple" and parts[1] in index.wheels:
                self.reply(200, index.page(parts[1]), {"Content-Type": "application/vnd.pypi.simple.v1+json"})
            elif parts[0] == "files" and parts[2] in index.wheels[parts[1]]:
                self.send_wheel(index.wheels[parts[1]][parts[2]])
            else:
                self.reply(404, b"")

        do_HEAD = do_GET

        def send_wheel(self, data: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if not asked or not index.ranges:
                self.reply(200, data, {"Accept-Ranges": "bytes" if index.ranges else "none"})
                index.sent[self.path] += len(data) * (self.command == "GET")
                return
            first, last = asked.groups()
            begin = int(first) if first else max(0, len(data) - int(last))
            end = min(int(last), len(data) - 1) if first and last else len(data) - 1
            part = {"Content-Range": f"bytes {begin}-{end}/{len(data)}", "Accept-Ranges": "bytes"}
            index.sent[self.path] += end + 1 - begin
            self.reply(206, data[begin : end + 1] if index.part is None else index.part, part)

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Print nothing if a client closes the connection, as uv does."""

    server = Server(("127.0.0.1", 0), Handler)
    index.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
