"""Start and stop a private dockerd, and clean up after it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.processes import command_lines, kill_with_descendants, packet_size, unmount
from engines.steps import RUN, EngineError, cache, wait_until

PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc")
START_SECONDS = 60
STOP_SECONDS = 40  # dockerd gives its containers ten seconds before it kills them
NO_NAT = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")

# Garbage collection during a build removes layers that it needs (github.com/moby/buildkit/issues/5469),
# so the tests prune the build cache at their end.
SETTINGS = {"builder": {"gc": {"enabled": False}}}

_children: list[subprocess.Popen] = []  # kept, so that this process reaps its dockerds


@dataclass(frozen=True)
class Daemon:
    """A dockerd with its own files; programs in `run/bin` come first on its PATH.

    `bridge` names an existing bridge; with it, dockerd does not change iptables. Without one it uses
    docker0. (Never `--bridge=none`: it deletes docker0 of the machine's own engine.)
    """

    name: str
    bridge: str = ""
    options: tuple[str, ...] = ()  # more options of dockerd
    data_folder: Path | None = None  # the folder of its data, if not in the cache
    features: tuple[str, ...] = ()  # of daemon.json, to turn on

    @property
    def run(self) -> Path:
        """Return the folder of its socket and process files."""
        return RUN / self.name

    @property
    def socket_file(self) -> Path:
        """Return its socket."""
        return self.run / "docker.sock"

    @property
    def url(self) -> str:
        """Return its address for DOCKER_HOST."""
        return f"unix://{self.socket_file}"

    @property
    def namespace(self) -> str:
        """Return its namespace in containerd: dockerd uses the machine's containerd if one runs."""
        return f"capy-template-{self.name}"

    @property
    def data(self) -> Path:
        """Return the folder of its images and containers."""
        return self.data_folder or cache() / "data" / self.name

    @property
    def log(self) -> Path:
        """Return its log file."""
        return cache() / f"{self.name}.log"

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it if it does not run, and wait until it answers.

        The caller holds the lock. Raises EngineError if the socket is taken or dockerd exited.
        """
        if not self.pid():
            self.end_leftovers()
            self.free_socket()
            self.launch(environment)
        text = f"waiting for dockerd ({self.name})"
        wait_until(lambda: self.answers() or not self.pid(), text, START_SECONDS)
        if not self.answers():
            why = last_meaningful_line(self.log)
            raise EngineError(f"dockerd did not start: {why} (log: {self.log})")

    def launch(self, environment: Mapping[str, str]) -> None:
        """Run dockerd in its own session, so that Ctrl-C does not reach it."""
        for folder in (self.run, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        config = self.run / "daemon.json"  # not the one in /etc/docker: it may name other sockets
        features = {"features": dict.fromkeys(self.features, True)} if self.features else {}
        config.write_text(json.dumps({**SETTINGS, **features}))
        command = ["dockerd", "--config-file", config, "--data-root", self.data, "--group", "0"]
        command += ["--exec-root", self.run / "exec", "--pidfile", self.run / "docker.pid"]
        command += ["--containerd-namespace", self.namespace]
        command += ["--containerd-plugins-namespace", f"{self.namespace}-plugins"]
        command += ["--host", self.url, *self.network_options(), *self.options]
        environment = {**environment, "PATH": f"{self.run / 'bin'}:{environment['PATH']}"}
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children.append(process)
        while process.poll() is None and not self.pid():  # /proc shows its arguments later
            time.sleep(0.01)

    def network_options(self) -> list[str]:
        """Return dockerd's options for its bridge and the size of its packets."""
        if self.bridge:
            return ["--bridge", self.bridge, *NO_NAT]
        size = packet_size()
        of_networks = f"bridge=com.docker.network.driver.mtu={size}"
        return ["--mtu", size, "--default-network-opt", of_networks]

    def free_socket(self) -> None:
        """Remove the socket of a killed dockerd. Raises EngineError if it is in use."""
        path = self.socket_file
        if not os.path.lexists(path):
            return
        if not path.is_socket():
            raise EngineError(f"{path} is taken by something that is not a socket: move it away")
        if not wait_until(self.refuses, f"waiting for {path} to be let go", 2):
            raise EngineError(f"{path} is in use by another program: stop it (`ss -lxp` shows it)")
        path.unlink()

    def connect(self) -> socket.socket:
        """Return a connection to the socket. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(2)
        try:
            connection.connect(str(self.socket_file))
        except OSError:
            connection.close()
            raise
        return connection

    def refuses(self) -> bool:
        """Return whether nothing listens on the socket; a killed process closes it later."""
        try:
            self.connect().close()
        except OSError as error:
            return isinstance(error, ConnectionRefusedError)
        return False

    def answers(self) -> bool:
        """Return whether a Docker Engine answers on the socket."""
        try:
            with self.connect() as connection:
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
        except OSError:
            return False

    def processes(self) -> dict[int, str]:
        """Return its processes, found by program and by this engine's folders or namespace."""
        for child in _children:
            child.poll()
        folders = (f"{self.run}/exec/", f"{self.data}/")
        found = {}
        for pid, (program, *arguments) in command_lines():
            if Path(program).name in PROGRAMS and any(
                word == self.namespace or f"{word}/".startswith(folders) for word in arguments
            ):
                found[pid] = Path(program).name
        return found

    def pid(self) -> int | None:
        """Return the process id of its dockerd, None if it does not run."""
        dockerds = (pid for pid, program in self.processes().items() if program == "dockerd")
        return next(dockerds, None)

    def stop(self) -> None:
        """Stop dockerd and everything it started; remove its runtime files, keep its data."""
        if pid := self.pid():
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not self.pid(), f"stopping dockerd ({self.name})", STOP_SECONDS)
        self.end_leftovers()
        shutil.rmtree(self.run, ignore_errors=True)

    def end_leftovers(self) -> None:
        """End the containerd, containers and mounts of a killed dockerd, and remove its pid files."""
        kill_with_descendants(self.processes())
        wait_until(lambda: not self.processes(), f"ending what is left of {self.name}", 10)
        unmount(self.run)
        unmount(self.data)
        # A new dockerd would wait for the process with this id, or refuse to start beside it.
        for stale in ("docker.pid", "exec/containerd/containerd.pid"):
            (self.run / stale).unlink(missing_ok=True)


def last_meaningful_line(log: Path) -> str:
    """Return the line of dockerd's log with the reason why it stopped."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    last_words = [line for line in lines if not line.startswith("time=")]
    return (last_words or lines or ["it said nothing"])[-1]
