"""Run Docker Engines and clients of several versions, each from a Debian release.

Nothing is installed: the packages are unpacked into the cache, and each dockerd has its own files.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import debian, engine
from engines.daemon import Daemon
from engines.debian import Tree
from engines.gpu_engine import GpuEngine, install, make_bridge, remove, second_daemon
from engines.steps import locked

SUITES = {"20.10": "bookworm", "26.1": "trixie", "28.5": "sid"}
PLUGINS = "usr/libexec/docker/cli-plugins"


def tree(version: str) -> Tree:
    """Return the unpacked packages of a version, 20.10, 26.1 or 28.5. The caller holds the lock."""
    return debian.fetch() if SUITES[version] == "sid" else debian.fetch_release(SUITES[version])


def server(version: str) -> dict[str, str]:
    """Return an environment for dockerd: its own programs, then runc and iptables of the newest Docker."""
    environment = debian.fetch().server()
    own = tree(version).search("usr/sbin", "usr/bin")
    return {**environment, "PATH": f"{own}:{environment['PATH']}"}


def client(cli: str, plugins: str, folder: Path) -> dict[str, str]:
    """Make a client from `docker` and the plugins of another version in a folder.

    Returns the variables for its users.
    """
    with locked():
        programs, of_plugins = tree(cli).root, tree(plugins).root
    (folder / "config/cli-plugins").mkdir(parents=True)
    (folder / "docker").symlink_to(programs / "usr/bin/docker")
    for plugin in (of_plugins / PLUGINS).iterdir():
        (folder / "config/cli-plugins" / plugin.name).symlink_to(plugin)
    path = f"{folder}:{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "DOCKER_CONFIG": str(folder / "config")}


@contextmanager
def docker_version(version: str, hook: Path, features: tuple[str, ...] = ()) -> Iterator[GpuEngine]:
    """Start an engine of a version, with `hook` as NVIDIA's hook, for a `with` block.

    It has no images and no NAT: builds need `network: host`. Raises EngineError if it does not start.
    """
    engine.refuse_unless_debian_and_root()
    plain = second_daemon("versions")
    daemon = Daemon(plain.name, plain.bridge, features=features)
    with locked():
        environment, newest = server(version), debian.fetch().client()
    try:
        with locked():
            remove(daemon, newest)
            shutil.rmtree(daemon.run, ignore_errors=True)
            install(hook, daemon.run / "bin")
            make_bridge(daemon.bridge)
            daemon.start(environment)
        found = engine.private(daemon, newest)
        yield GpuEngine(found.description, found.host, found.env, True, daemon.run / "bin/hook.log")
    finally:
        with locked():
            remove(daemon, newest)
