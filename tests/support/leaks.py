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

from tests.conftest import BakedProject

HISTORY = "buildx history"  # the engine's record of each build, with its arguments


@dataclass(frozen=True)
class Password:
    """An account, its password, and a part of the password that no encoding but basic auth's changes."""

    account: str
    text: str
    word: str

    def __post_init__(self) -> None:
        """Refuse a part that is none."""
        assert self.word in self.text

    def is_in(self, data: bytes) -> bool:
        """Return whether data has the password: in part, which is in its encodings, too, or as basic auth."""
        pair = base64.b64encode(f"{self.account}:{self.text}".encode()).rstrip(b"=")
        return self.word.encode() in data or pair[:-2] in data


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
        "inspect": settings.stdout,
        "logs": output(*history, "logs", build, "--progress", "plain"),
    }
    for attachment in json.loads(settings.stdout).get("Attachments", []):
        digest = attachment["Digest"]
        parts["attachments"] = parts.get("attachments", b"") + output(
            *history, "inspect", "attachment", build, digest
        )
    yield from (part for part, data in parts.items() if password.is_in(data))


def in_image(image: str, password: Password) -> Iterator[str]:
    """Yield each file of a saved image that has the password: its settings, and files in its layers."""
    blobs = 0
    with (
        subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving,
        tarfile.open(fileobj=saving.stdout, mode="r|") as saved,
    ):
        for member in filter(tarfile.TarInfo.isfile, saved):
            blobs += 1
            data = saved.extractfile(member).read()
            if data.startswith(b"\x1f\x8b"):  # containerd's image store
                data = gzip.decompress(data)
            assert not data.startswith(b"\x28\xb5\x2f\xfd"), "zstd: nothing would be found in it"
            if password.is_in(data):
                yield member.name
        saving.stdout.read()  # the padding at the end
    assert (saving.returncode, blobs > 5) == (0, True), "that was no image"


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
        "image layers": list(in_image(image, password)),
    }
