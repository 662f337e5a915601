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

PLUGINS = "usr/libexec/docker/cli-plugins"


def tree(suite: str) -> Tree:
    """Return the unpacked packages of bookworm, trixie or sid. The caller holds the lock."""
    return debian.fetch() if suite == "sid" else debian.fetch_release(suite)


def server(suite: str) -> dict[str, str]:
    """Return an environment for dockerd: its own programs, then runc and iptables of the newest."""
    environment = debian.fetch().server()
    own = tree(suite).search("usr/sbin", "usr/bin")
    return {**environment, "PATH": f"{own}:{environment['PATH']}"}


def client(cli: str, plugins: str, folder: Path) -> dict[str, str]:
    """Make a client of a suite's `docker` and of another one's plugins in a folder.

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
def docker_version(suite: str, hook: Path, features: tuple[str, ...] = ()) -> Iterator[GpuEngine]:
    """Lend the engine of a suite, which takes `hook` for NVIDIA's.

    It has no images and no NAT: builds need `network: host`. Raises EngineError if it does not start.
    """
    engine.refuse_unless_debian_and_root()
    plain = second_daemon("versions")
    daemon = Daemon(plain.name, plain.bridge, features=features)
    with locked():
        environment, newest = server(suite), debian.fetch().client()
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
