"""VS Code's reference client opens the project, as an ordinary user of the host.

Where the tests run as root, that user is made for them and removed again; else it is whoever runs them.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.engine_fixtures import give_up
from tests.index_server import package_index
from tests.light_project import empty
from tools.engine import Engine, lend

CLI = Path(__file__).with_name("node_modules") / "@devcontainers/cli"
NAME = "capy-dev"
# Where every user may go; pytest's own folders are closed to others.
OPEN_FOLDER = tempfile.gettempdir()


@dataclass(frozen=True)
class HostUser:
    """An ordinary user of the host, with a home and the right to use the engine."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path
    environment: dict[str, str]

    def run(self, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command as this user."""
        identity = {"user": self.uid, "group": self.gid, "extra_groups": self.groups}
        return subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            **(identity if os.getuid() == 0 else {}),
        )


@dataclass(frozen=True)
class DevContainer:
    """The project as the client opened it."""

    user: HostUser
    project: BakedProject
    started: dict

    def execute(self, *command: str) -> str:
        """Run a command in the dev container as VS Code's terminal would; return its output."""
        done = self.devcontainer("exec", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def devcontainer(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the client on the project."""
        return devcontainer(self.user, self.project, verb, *arguments)


def devcontainer(user: HostUser, project: BakedProject, verb: str, *arguments: str):
    """Run the reference client as `user`."""
    client = ["node", str(user.home / "cli/devcontainer.js"), verb]
    return user.run(*client, "--workspace-folder", str(project.path), *arguments, folder=project.path)


@pytest.fixture(scope="session")
def client(pytestconfig: pytest.Config) -> Path:
    """The folder of the reference client. Without it: a failure where CI is set, else a skip."""
    if not (CLI / "devcontainer.js").exists() or not shutil.which("node"):
        give_up(pytestconfig, "NO CLIENT: it needs Node 20 or newer with npm, then `make test` installs it")
    return CLI


@pytest.fixture(scope="session")
def user(client: Path, engine: Engine, base) -> Iterator[HostUser]:
    """An ordinary user, whose home holds the client (the one in root's folders is closed to others)."""
    home = Path(tempfile.mkdtemp(prefix="capy-", dir=OPEN_FOLDER))
    home.chmod(0o755)
    try:
        shutil.copytree(client, home / "cli")
        entry = make_user(home) if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        groups = ()
        if os.getuid() == 0:
            os.chown(home, entry.pw_uid, entry.pw_gid)
            socket = Path((engine.host or "unix:///var/run/docker.sock").removeprefix("unix://"))
            groups = () if engine.private else (socket.stat().st_gid,)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
        for name in ("BASE_IMAGE", "CA_BUNDLE", "DOCKER_HOST"):
            if name in os.environ:
                environment[name] = os.environ[name]
        with lend(engine, entry.pw_gid, home) as lent:
            yield HostUser(entry.pw_uid, entry.pw_gid, groups, home, environment | lent)
    finally:
        if os.getuid() == 0:
            subprocess.run(["userdel", NAME], check=False, capture_output=True)
        shutil.rmtree(home)


def make_user(home: Path) -> pwd.struct_passwd:
    """Make an ordinary user of this host; not uid 1000, which `app` has in the image."""
    subprocess.run(["userdel", NAME], check=False, capture_output=True)  # of a run that was killed
    command = [
        "useradd",
        "--no-log-init",
        "--home-dir",
        str(home),
        "--no-create-home",
        "--key",
        "UID_MIN=4242",
    ]
    subprocess.run([*command, "--user-group", NAME], check=True, capture_output=True)
    return pwd.getpwnam(NAME)


@pytest.fixture(scope="session")
def dev(user: HostUser) -> Iterator[DevContainer]:
    """A fresh clone (so without .env), opened by the client."""
    project = generate(user.home, project="capy-dev")
    (project.path / ".env").unlink()
    with opened(user, project) as container:
        yield container


@contextmanager
def opened(user: HostUser, project: BakedProject) -> Iterator[DevContainer]:
    """Give the project to its user and open it; its container is removed again."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", str(project.path)], check=True)
    done = devcontainer(user, project, "up")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield DevContainer(user, project, json.loads(done.stdout.splitlines()[-1]))
    finally:
        files = ["--file", "compose.yaml", "--file", ".devcontainer/compose.yaml"]
        project.run("docker", "compose", *files, "down", "--volumes", "--remove-orphans")


def test_it_opens_as_the_image_s_user_in_the_project(dev):
    assert dev.started["outcome"] == "success"
    assert dev.started["remoteUser"] == "app"
    assert dev.started["remoteWorkspaceFolder"] == "/code"


def test_the_accelerator_was_detected_before_the_start(dev):
    assert dev.project.read(".env") in ("ACCELERATOR=cpu\n", "ACCELERATOR=nvidia\n")


def test_a_terminal_has_the_ids_of_the_host_s_user(dev):
    assert dev.execute("id", "-un") == "app"
    assert (dev.execute("id", "-u"), dev.execute("id", "-g")) == (
        str(dev.user.uid),
        str(dev.user.gid),
    )


def test_a_file_made_in_the_workspace_belongs_to_the_host_s_user(dev):
    dev.execute("touch", "/code/made-in-vs-code")

    made = (dev.project.path / "made-in-vs-code").stat()
    assert (made.st_uid, made.st_gid) == (dev.user.uid, dev.user.gid)


def test_the_post_create_command_really_ran(dev):
    """The client says success even where it could not run it: look at what the command does."""
    assert dev.execute("git", "config", "--global", "--get", "safe.directory") == "/code"


def test_the_tools_that_the_settings_name_are_there(dev):
    settings = json.loads(dev.project.read(".devcontainer/devcontainer.json"))
    python = settings["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]

    versions = dev.execute(python, "-c", "import debugpy, ipykernel, pytest, capy_dev; print('all there')")

    assert versions == "all there"
    assert dev.execute("ruff", "check") == "All checks passed!"
    assert dev.execute("uv", "--version").startswith("uv ")


def test_the_tests_pass_in_it(dev):
    assert " passed" in dev.execute("pytest")


def test_packages_can_be_added_to_the_environment(dev):
    path = dev.execute("python", "-c", "import numpy, pathlib; print(pathlib.Path(numpy.__file__).parent)")

    dev.execute("touch", f"{path}/written-by-its-user")


def test_docker_compose_in_the_same_folder_leaves_it_alone(dev):
    run = dev.user.run("docker", "compose", "run", "--rm", "app", "-c", "print(1)", folder=dev.project.path)
    down = dev.user.run("docker", "compose", "down", "--remove-orphans", folder=dev.project.path)

    assert (run.returncode, run.stdout.split()[-1], down.returncode) == (0, "1", 0), run.stderr + down.stderr
    assert dev.execute("echo", "still there") == "still there"


def test_the_private_index_is_there_with_a_password_that_the_container_does_not_keep(user, tmp_path):
    """The password is in the shell that starts VS Code, and nowhere else."""
    password = "s3cr3t-Qm4Vt7Zc"
    packages = {"in-house-package": "1.0", "in-house-tool": "1.0"}
    with package_index(tmp_path / "index", packages, {"corp": password}) as index:
        answers = {"private_index": index.url, "private_packages": "in-house-package"}
        project = empty(generate(user.home, project="capy-index", **answers))
        settings = project.path / ".devcontainer/devcontainer.json"
        files = '"../compose.yaml", "compose.yaml"'
        settings.write_text(settings.read_text().replace(files, f'{files}, "../compose.override.yaml"'))
        shell = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": password}
        with opened(replace(user, environment=user.environment | shell), project) as dev:
            dev.execute("uv", "add", "--index", "private", "in-house-tool")
            container = dev.started["containerId"]
            kept = [
                subprocess.run(["docker", verb, container], capture_output=True, check=True).stdout
                for verb in ("inspect", "export", "logs")
            ]

    assert "in-house-tool" in project.read("uv.lock")
    assert (project.path / "uv.lock").stat().st_uid == user.uid
    assert len(kept[1]) > 50_000_000
    assert not [len(data) for data in kept if b"Qm4Vt7Zc" in data]
    assert not [
        path for path in project.path.rglob("*") if path.is_file() and password in str(path.read_bytes())
    ]
