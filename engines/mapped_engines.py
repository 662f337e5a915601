"""Start Docker Engines that map container ids to other host ids: rootless, and `userns-remap`.

Each runs for a `with` block, with a temporary user.
"""

import grp
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import debian, engine
from engines.daemon import Daemon
from engines.engine import Engine
from engines.gpu_engine import make_bridge, programs, remove, second_daemon
from engines.leftovers import OPEN, running_folder
from engines.steps import EngineError, locked, wait_until

START_SECONDS = 60

# dockerd in RootlessKit's user namespace. Without RootlessKit's network it gets one of its own ($1), without
# any connection.
DOCKERD = """
rm -rf /run/docker /run/containerd /run/xtables.lock
echo '{}' > "$HOME/daemon.json"
exec $1 dockerd --rootless --config-file "$HOME/daemon.json" --data-root "$HOME/data" \\
    --exec-root "$XDG_RUNTIME_DIR/docker" --pidfile "$XDG_RUNTIME_DIR/docker.pid" \\
    --host "unix://$XDG_RUNTIME_DIR/docker.sock" --iptables=false --ip6tables=false
"""
# slirp4netns opens this device as the user, who may not have access; it is opened in the engine's mount
# namespace only.
WITH_TUN = 'mknod -m 666 "$1" c 10 200 && mount --bind "$1" /dev/net/tun && shift && exec "$@"'


@contextmanager
def rootless_engine(user: str, network: bool = False) -> Iterator[tuple[Engine, Path]]:
    """Start a rootless engine of a new user for a `with` block; yield it and a folder of the user.

    `docker run` works; builds and `docker compose` need `network`: Compose asks for the version, and without
    a network of RootlessKit dockerd closes the connection. Raises EngineError if it does not start.
    """
    engine.refuse_unless_debian_and_root()
    try:
        with running_folder(user, OPEN) as folder:
            with locked():
                tree, rootless = debian.fetch(), [debian.fetch_rootless()]
                if network:
                    rootless.append(debian.fetch_packages(f"slirp-{debian.codename()}", (), ("slirp4netns",)))
            uid, _ = make_user(user)
            # root's cache is closed to others; with their modes, since newuidmap is setuid
            for source in (tree.root, *rootless):
                shutil.copytree(source / "usr", folder / "programs/usr", symlinks=True, dirs_exist_ok=True)
            home, run = folder / "home", folder / "run"
            for own in (home, run):
                own.mkdir(mode=0o700)
                os.chown(own, uid, uid)
            home.chmod(0o755)
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [
                        *(with_tun(folder / "tun") if network else ()),
                        *as_user(uid),
                        *rootlesskit(run, network),
                    ],
                    env=rootless_environment(folder / "programs", home, run),
                    cwd=home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                host = f"unix://{run / 'docker.sock'}"
                found = Engine("rootless", host, {**tree.client(), "DOCKER_HOST": host}, private=True)
                answered = wait_until(
                    lambda: process.poll() is not None or answers(found),
                    "waiting for rootless dockerd",
                    START_SECONDS,
                )
                if process.poll() is not None or not answered:
                    raise EngineError(
                        f"rootless dockerd did not start: {(folder / 'log').read_text()[-400:]}"
                    )
                yield found, home
            finally:
                process.send_signal(signal.SIGTERM)
                wait_until(lambda: process.poll() is not None, "stopping rootless dockerd", 40)
    finally:
        subprocess.run(["userdel", user], check=False, capture_output=True)


def rootlesskit(run: Path, network: bool) -> list[str]:
    """Return the command that starts dockerd in a user namespace."""
    kind = ["--net=slirp4netns", "--disable-host-loopback"] if network else ["--net=host"]
    options = [*kind, "--copy-up=/etc", "--copy-up=/run", f"--state-dir={run / 'rootlesskit'}"]
    return ["rootlesskit", *options, "sh", "-ec", DOCKERD, "sh", "" if network else "unshare --net"]


def with_tun(device: Path) -> list[str]:
    """Return the command that opens /dev/net/tun to any user for the following command."""
    return ["unshare", "--mount", "sh", "-ec", WITH_TUN, "sh", str(device)]


def as_user(uid: int) -> list[str]:
    """Return the command with which root runs another command as a user."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]


def rootless_environment(programs_folder: Path, home: Path, run: Path) -> dict[str, str]:
    """Return an environment in which the copied programs find each other and their libraries."""
    server = debian.Tree(programs_folder).server()
    wanted = ("PATH", "LD_LIBRARY_PATH", "XTABLES_LIBDIR")
    return {
        **{name: server[name] for name in wanted if name in server},
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(run),
    }


def answers(found: Engine) -> bool:
    """Return whether an engine answers."""
    try:
        found.docker("image", "ls", limit=5)
    except EngineError:
        return False
    return True


@contextmanager
def remapped_engine(name: str, user: str) -> Iterator[Engine]:
    """Start an engine with `userns-remap` for a `with` block: its root is an id of the new user's range.

    Raises EngineError if dockerd does not start.
    """
    engine.refuse_unless_debian_and_root()
    plain = second_daemon(name)
    # root's cache is closed to the ids of the containers
    with running_folder(user, OPEN) as folder:
        daemon = Daemon(plain.name, plain.bridge, (f"--userns-remap={user}",), folder / "data")
        try:
            make_user(user)
            with locked():
                server, client = programs()
                remove(daemon, client)
                make_bridge(daemon.bridge)
                daemon.start(server)
            yield engine.private(daemon, client)
        finally:
            with locked():
                remove(daemon, programs()[1])
            subprocess.run(["userdel", user], check=False, capture_output=True)


def make_user(name: str) -> tuple[int, int]:
    """Create a user with a range of subordinate ids; return the uid and the first id of the range.

    Raises EngineError with useradd's message.
    """
    subprocess.run(["userdel", name], check=False, capture_output=True)  # of a killed run
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    uid = next(number for number in range(20_000, 60_000) if number not in taken)  # the group's number, too
    command = ["useradd", "--no-log-init", "--no-create-home", "--user-group", "--uid", str(uid), name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"the user {name} could not be made: {done.stderr.strip()}")
    ranges = [line.split(":") for line in Path("/etc/subuid").read_text().splitlines()]
    first = next(int(begin) for who, begin, _ in ranges if who == name)
    return uid, first
