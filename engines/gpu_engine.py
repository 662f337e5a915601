"""Start a second Docker Engine that records GPU reservations, on a machine without a GPU.

dockerd accepts `driver: nvidia` if it finds `nvidia-container-runtime-hook` on its PATH. Our hook
records the requested GPUs (tests/support/nvidia-container-runtime-hook).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines import debian, engine
from engines.daemon import Daemon
from engines.engine import Engine
from engines.steps import EngineError, locked

HOOK = "nvidia-container-runtime-hook"
LONGEST_NAME = 10  # with its prefix, the name of a bridge may have 15 characters


@dataclass(frozen=True)
class GpuEngine(Engine):
    """An engine on which a container can reserve GPUs without a GPU."""

    log: Path = Path()

    def calls(self) -> list[dict]:
        """Return the hook's record of each container with GPUs: "visible", "args", "capabilities"."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@contextmanager
def gpu_engine(name: str, hook: Path) -> Iterator[GpuEngine]:
    """Start a GPU engine for a `with` block."""
    try:
        yield start_gpu_engine(name, hook)
    finally:
        stop_gpu_engine(name)


def start_gpu_engine(name: str, hook: Path) -> GpuEngine:
    """Start an engine with the recording hook; replace one of an earlier run.

    It has no images (see `copy_image`) and no NAT: builds need `--network=host`.
    Raises EngineError if dockerd does not start.
    """
    daemon = second_daemon(name)
    with locked():
        server, client = programs()
        remove(daemon, client)
        install(hook, daemon.run / "bin")
        make_bridge(daemon.bridge)
        daemon.start(server)
    found = engine.private(daemon, client)
    return GpuEngine(found.description, found.host, found.env, True, daemon.run / "bin/hook.log")


def stop_gpu_engine(name: str) -> None:
    """Stop a GPU engine and remove its containers, images and bridge."""
    with locked():
        remove(second_daemon(name), programs()[1])


def programs() -> tuple[dict[str, str], dict[str, str]]:
    """Return the environments of a second dockerd and its clients; installed Docker's off Debian.

    Raises EngineError where there is no dockerd to be had.
    """
    if debian.release().get("ID") != "debian" and os.geteuid() == 0 and shutil.which("dockerd"):
        return dict(os.environ), {}
    engine.refuse_unless_debian_and_root("GPU tests start an engine of their own: install dockerd, or ")
    tree = debian.fetch()
    return tree.server(), tree.client()


def second_daemon(name: str) -> Daemon:
    """Return the daemon of a named second engine. Raises EngineError: the name is too long."""
    if len(name) > LONGEST_NAME:
        raise EngineError(f"the engine name {name!r} is longer than {LONGEST_NAME} characters")
    return Daemon(name, bridge=f"capy-{name}")


def install(hook: Path, folder: Path) -> None:
    """Copy the hook to where dockerd will find it first, for the Python that runs now."""
    folder.mkdir(parents=True)
    body = hook.read_text().partition("\n")[2]  # runc calls hooks without a PATH
    (folder / HOOK).write_text(f"#!{sys.executable}\n{body}")
    (folder / HOOK).chmod(0o755)


def make_bridge(name: str) -> None:
    """Make a bridge with a free network of 198.18, set aside for tests (RFC 2544).

    Raises EngineError with ip's own words.
    """
    taken = ip("-4", "address", "show")
    third = next(number for number in range(255, 0, -1) if f" 198.18.{number}." not in taken)
    ip("link", "add", name, "type", "bridge")
    ip("address", "add", f"198.18.{third}.1/24", "dev", name)
    ip("link", "set", name, "up")


def ip(*arguments: str) -> str:
    """Run ip and return what it printed. Raises EngineError."""
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise EngineError("the command ip is missing: apt-get install iproute2") from None
    if done.returncode:
        raise EngineError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def remove(daemon: Daemon, client: dict[str, str]) -> None:
    """Stop a second engine and remove its files, if there is one."""
    if daemon.pid() and daemon.answers():
        there = engine.private(daemon, client)
        if containers := there.docker("ps", "--all", "--quiet").split():
            there.docker("rm", "--force", *containers)
        there.docker("network", "prune", "--force")  # their bridges would outlive the engine
    daemon.stop()
    shutil.rmtree(daemon.data, ignore_errors=True)
    daemon.log.unlink(missing_ok=True)
    if Path("/sys/class/net", daemon.bridge).exists():
        ip("link", "delete", daemon.bridge)


def copy_image(name: str, source: Engine, target: Engine) -> None:
    """Copy an image from one engine to another. Raises EngineError with what docker said."""
    save = subprocess.Popen(["docker", "save", name], env=source.environment(), stdout=subprocess.PIPE)
    load = subprocess.run(
        ["docker", "load", "--quiet"], env=target.environment(), stdin=save.stdout, check=False
    )
    save.stdout.close()  # else `docker save` waits forever for a closed reader
    if save.wait() or load.returncode:
        raise EngineError(f"{name} could not be copied to the other engine")
