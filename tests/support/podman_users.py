"""Users of Podman, rootless and rootful, on a host for each Debian release that has it, with a project."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines.base_image import PATH, root_file_system
from engines.podman import CERTIFICATES, UID, USER, PodmanHost, podman_host
from engines.steps import EngineError, locked
from tests.conftest import BakedProject, generate
from tests.support.engine import give_up
from tests.support.launchers import copy_for, prepare, short
from tests.support.stand_ins import ON_THE_HOST

NAME = "capy-env-podman"
BASE = "localhost/base:1"
RELEASES = ("trixie", "sid")


@dataclass(frozen=True)
class User:
    """Somebody on a host with Podman: an ordinary user, or root."""

    host: PodmanHost
    rootless: bool
    project: str = NAME

    @property
    def name(self) -> str:
        """Return how the table calls it."""
        version = short(self.run("podman", "--version").stdout)
        return f"Podman {version} {'rootless' if self.rootless else 'rootful'}"

    @property
    def folder(self) -> str:
        """Return the project folder as the host sees it."""
        return f"/home/{USER if self.rootless else 'root'}/{self.project}"

    @property
    def path(self) -> Path:
        """Return the project folder as this machine sees it."""
        return self.host.home / self.folder.removeprefix("/home/")

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project folder."""
        return self.host.run(*words, user=self.rootless, folder=self.folder, **settings)

    def start(self, *words: str, **settings: str) -> subprocess.Popen:
        """Run a command in the project folder, without the wait."""
        command = self.host.command(*words, user=self.rootless, folder=self.folder, **settings)
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> subprocess.CompletedProcess[str]:
        """Stop the one container that runs."""
        running = self.run("podman", "ps", "--quiet").stdout.split()
        return self.run("podman", "stop", "--time=30", *running)


@pytest.fixture(scope="module")
def podman_source(tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project with the default answers, and what the checks look at."""
    project = generate(tmp_path_factory.mktemp("podman"), project=NAME)
    (project.path / ".env").write_text(f"BASE_IMAGE={BASE}\n")
    prepare(project.path, CERTIFICATES)
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    return project


@pytest.fixture(scope="module", params=RELEASES)
def podman_machine(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[PodmanHost]:
    """A host for each release."""
    try:
        with podman_host(request.param) as found:
            yield found
    except EngineError as error:
        give_up(pytestconfig, f"NO PODMAN: {error}")


@pytest.fixture(scope="module", params=["rootless", "rootful"])
def podman_user(
    request: pytest.FixtureRequest, podman_machine: PodmanHost, podman_source: BakedProject
) -> User:
    """A user there, with the project, the base image and an answering socket."""
    found = User(podman_machine, request.param == "rootless")
    found.path.parent.mkdir(exist_ok=True)
    copy_for(podman_source.path, found.path, UID)
    with locked():
        archive = root_file_system()
    inside = podman_machine.home / "base.tar"
    if not inside.exists():
        inside.write_bytes(archive.read_bytes())
    done = found.run("podman", "import", "--quiet", f"--change=ENV PATH={PATH}", "/home/base.tar", BASE)
    assert done.returncode == 0, done.stderr
    socket = f"/run/user/{UID}/podman" if found.rootless else "/run/podman"
    found.start(
        "sh", "-c", f"mkdir -p {socket} && exec podman system service --time=0 unix://{socket}/podman.sock"
    )
    return found
