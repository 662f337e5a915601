"""Provide VS Code's reference client, and ordinary users of the host who open projects with it.

As root, the tests create and remove these users; else they use the current user.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines.engine import Engine, lend
from tests.conftest import BakedProject, generate
from tests.support.engine import give_up

CLI = Path(__file__).with_name("node_modules") / "@devcontainers/cli"
GROUP = "capy-dev"
# Open to every user, unlike pytest's own folders.
OPEN_FOLDER = tempfile.gettempdir()
UID = 4242  # of users whose uid does not matter; `app` has 1000 in the image


@dataclass(frozen=True)
class HostUser:
    """An ordinary user of the host, with a home and the right to use the engine."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: Path
    client: Path  # a copy of VS Code's client that this user can read
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

    def own(self, project: BakedProject) -> None:
        """Make the user own a project."""
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{self.uid}:{self.gid}", str(project.path)], check=True)


@dataclass(frozen=True)
class DevContainer:
    """A project that the client has opened."""

    user: HostUser
    project: BakedProject
    started: dict

    def execute(self, *command: str) -> str:
        """Run a command in the dev container as in VS Code's terminal, and return its output."""
        done = self.devcontainer("exec", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def devcontainer(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the client on the project."""
        return devcontainer(self.user, self.project, verb, *arguments)


def devcontainer(
    user: HostUser, project: BakedProject, verb: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the reference client as `user`."""
    client = ["node", str(user.client), verb]
    return user.run(*client, "--workspace-folder", str(project.path), *arguments, folder=project.path)


@contextmanager
def opened(user: HostUser, project: BakedProject, *options: str) -> Iterator[DevContainer]:
    """Make the user own the project and open it; remove its container and volumes at the end."""
    user.own(project)
    try:
        yield up(user, project, *options)
    finally:
        close(project)


def close(project: BakedProject) -> None:
    """Remove the dev container of the project's settings, and its volumes."""
    files = ["--file", "compose.yaml", "--file", ".devcontainer/compose.yaml"]
    # the users have no CHECKOUT of the workers
    command = ["env", "--unset=CHECKOUT", "docker", "compose", *files]
    project.run(*command, "down", "--volumes", "--remove-orphans")


def up(user: HostUser, project: BakedProject, *options: str) -> DevContainer:
    """Open the project, or open it again, and check that the client succeeded."""
    done = devcontainer(user, project, "up", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return DevContainer(user, project, json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="session")
def homes(engine: Engine, base, pytestconfig: pytest.Config) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield a folder for the homes of users of the engine, and the variables for them.

    Without the client, fails if CI is set, else skips.
    """
    if not (CLI / "devcontainer.js").exists() or not shutil.which("node"):
        give_up(pytestconfig, "NO CLIENT: it needs Node 20 or newer with npm, then `make test` installs it")
    folder = Path(tempfile.mkdtemp(prefix="capy-", dir=OPEN_FOLDER))
    folder.chmod(0o755)
    if os.getuid() == 0:
        subprocess.run(["groupadd", "--force", GROUP], check=True)
    gid = grp.getgrnam(GROUP).gr_gid if os.getuid() == 0 else os.getgid()
    try:
        shutil.copytree(CLI, folder / "cli")  # the one in root's folders is closed to others
        names = ("PATH", "BASE_IMAGE", "BUILD_CACHE", "CA_BUNDLE", "DOCKER_HOST", "GOGC")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        with lend(engine, gid, folder) as lent:
            yield folder, environment | lent
    finally:
        shutil.rmtree(folder)
        if os.getuid() == 0:
            subprocess.run(["groupdel", GROUP], check=False, capture_output=True)


@pytest.fixture(scope="session")
def host_user(homes, engine: Engine, pytestconfig: pytest.Config) -> Iterator[Callable[[int], HostUser]]:
    """Return host_user(uid): the ordinary user with this uid, created if the tests run as root."""
    folder, environment = homes
    made: dict[int, HostUser] = {}

    def get(uid: int) -> HostUser:
        if uid not in made:
            if os.getuid() not in (0, uid) and uid != UID:
                give_up(pytestconfig, f"NOT ROOT: uid {uid} was not tried, only your own")
            home = folder / f"home-{uid}"
            home.mkdir()
            entry = make_user(uid, home) if os.getuid() == 0 else pwd.getpwuid(os.getuid())
            ids = entry.pw_uid, entry.pw_gid, groups_for(engine)
            own = {"HOME": str(home)} | docker_settings(home, entry, environment.get("DOCKER_CONFIG"))
            made[uid] = HostUser(*ids, home, folder / "cli/devcontainer.js", environment | own)
        return made[uid]

    yield get
    if os.getuid() == 0:
        for user in made.values():
            subprocess.run(["userdel", name_of(user.uid)], check=False, capture_output=True)


def make_user(uid: int, home: Path) -> pwd.struct_passwd:
    """Create an ordinary user of this host, unless one has the uid."""
    subprocess.run(["userdel", name_of(uid)], check=False, capture_output=True)  # of a run that was killed
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        command = ["useradd", "--no-log-init", "--home-dir", str(home), "--no-create-home", "--uid", str(uid)]
        subprocess.run([*command, "--user-group", name_of(uid)], check=True, capture_output=True)
        entry = pwd.getpwnam(name_of(uid))
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return entry


def docker_settings(home: Path, owner: pwd.struct_passwd, lent: str | None) -> dict[str, str]:
    """Make a folder for a user's Docker settings, with the plugins of the engine."""
    if lent is None:
        return {}
    settings = home / ".docker"
    settings.mkdir()
    (settings / "cli-plugins").symlink_to(Path(lent) / "cli-plugins")
    os.chown(settings, owner.pw_uid, owner.pw_gid)
    return {"DOCKER_CONFIG": str(settings)}


def name_of(uid: int) -> str:
    """Return the name of a user that the tests create."""
    return f"{GROUP}-{uid}"


def groups_for(engine: Engine) -> tuple[int, ...]:
    """Return the groups that a user needs to use the engine."""
    if os.getuid() != 0:
        return ()
    socket = Path((engine.host or "unix:///var/run/docker.sock").removeprefix("unix://"))
    return (grp.getgrnam(GROUP).gr_gid, socket.stat().st_gid)


@pytest.fixture(scope="session")
def user(host_user) -> HostUser:
    """Return an ordinary user, for tests that work with any."""
    return host_user(UID)


# An owner's additions to compose.project.yaml.
OWN_SETTING = "      OWN_SETTING: of the owner\n"
OWN = '    volumes: ["./src:/own:ro"]\n    group_add: ["4321"]\n    ulimits: {nofile: 9000}\n'


@pytest.fixture(scope="module")
def dev(user: HostUser, request: pytest.FixtureRequest) -> Iterator[DevContainer]:
    """Yield a fresh clone (without .env), opened by the client; one for each file of tests."""
    project = clone(user.home / request.path.stem, "capy-dev")
    own = project.path / "compose.project.yaml"
    own.write_text(own.read_text().replace("    environment:\n", f"    environment:\n{OWN_SETTING}") + OWN)
    with opened(user, project) as container:
        yield container


def clone(folder: Path, name: str, **answers: str | bool) -> BakedProject:
    """Return a project without .env, as after a clone."""
    project = generate(folder, project=name, **answers)
    (project.path / ".env").unlink()
    return project


def debugged(dev: DevContainer) -> str:
    """Return what a debugger sees in a running program of the dev container."""
    shutil.copy(Path(__file__).with_name("debug_client.py"), dev.project.path / "debug_client.py")
    return dev.execute("python", "debug_client.py")
