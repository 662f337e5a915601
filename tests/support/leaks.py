"""Search for a password in everything that a build leaves."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.conftest import BakedProject

HISTORY = "buildx history"  # the engine's record of each build, with its arguments


@dataclass(frozen=True)
class Password:
    """An account, its password, and a part of the password that no encoding changes."""

    account: str
    text: str
    word: str

    def is_in(self, data: bytes) -> bool:
        """Return whether data has the password: whole or in part, percent-encoded, or as basic auth."""
        pair = base64.b64encode(f"{self.account}:{self.text}".encode()).rstrip(b"=")
        encoded = {self.text.encode(), quote(self.text, safe="").encode(), self.word.encode(), pair[:-2]}
        return any(needle in data for needle in encoded)


def output(*command: str) -> bytes:
    """Return the output of a command. Raises AssertionError if it fails."""
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout + done.stderr


def build_records(project: str) -> set[str]:
    """Return the references of a project's builds in the engine's history."""
    command = ("docker", "buildx", "history", "ls", "--format", "json", "--no-trunc")
    records = [json.loads(line) for line in output(*command).decode().splitlines()]
    return {
        record["ref"].rpartition("/")[2] for record in records if record["name"].startswith(f"{project}/")
    }


def in_history(build: str, password: Password) -> Iterator[str]:
    """Yield each part of a build's record that has the password."""
    history = ("docker", "buildx", "history")
    settings = subprocess.run(
        [*history, "inspect", build, "--format", "json"], capture_output=True, check=True
    )
    parts = {
        "inspect": output(*history, "inspect", build) + settings.stdout,
        "logs": output(*history, "logs", build, "--progress", "plain"),
    }
    for attachment in json.loads(settings.stdout).get("Attachments", []):
        digest = attachment["Digest"]
        parts["attachments"] = parts.get("attachments", b"") + output(
            *history, "inspect", "attachment", build, digest
        )
    yield from (part for part, data in parts.items() if password.is_in(data))


def in_image(image: str, password: Password, folder: Path) -> Iterator[str]:
    """Yield each file of a saved image that has the password: its settings, and files in its layers."""
    archive = folder / "image.tar"
    output("docker", "save", "--output", str(archive), image)
    with tarfile.open(archive) as saved:
        blobs = 0
        for member in filter(tarfile.TarInfo.isfile, saved):
            blobs += 1
            data = saved.extractfile(member).read()
            if data.startswith(b"\x1f\x8b"):  # containerd's image store
                data = gzip.decompress(data)
            assert not data.startswith(b"\x28\xb5\x2f\xfd"), "zstd: nothing would be found in it"
            if password.is_in(data):
                yield member.name
    assert blobs > 5, "that was no image"
    archive.unlink()


def in_folder(folder: Path, password: Password, but: set[str] = frozenset()) -> Iterator[str]:
    """Yield each file below `folder` that has the password, except the user's own."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in but and password.is_in(path.read_bytes()):
            yield str(path.relative_to(folder))


def places(
    project: BakedProject, image: str, log: str, builds: set[str], password: Password, own: set[str]
) -> dict[str, list[str]]:
    """Return, for each searched place, where it has the password.

    `log` is the output of the builds, `builds` their names in the history, `own` the names of the
    user's files with the password.
    """
    environment = ("docker", "run", "--rm", "--entrypoint", "env", image)
    found = {
        "build log": ["log"] if password.is_in(log.encode()) else [],
        HISTORY: [f"{part}" for build in builds for part in in_history(build, password)],
        "project": list(in_folder(project.path, password, own)),
    }
    if not image:
        return found
    return found | {
        "image history": ["history"]
        if password.is_in(output("docker", "history", "--no-trunc", image))
        else [],
        "image inspect": ["inspect"] if password.is_in(output("docker", "image", "inspect", image)) else [],
        "image layers": list(in_image(image, password, project.path.parent)),
        "image environment": ["env"] if password.is_in(output(*environment)) else [],
    }
