"""Find this machine's Docker Engine for the tests, else start a private one from Debian's packages.

python -m engines.engine up       find or start it
python -m engines.engine env      print its settings, for `eval`
python -m engines.engine status   print the engine that the tests would use
python -m engines.engine prune    shrink the private one's build cache
python -m engines.engine down     stop the private one
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engines import debian
from engines.daemon import Daemon
from engines.steps import EngineError, locked, say, telling_line

PRIVATE = Daemon("default")
ANSWER_SECONDS = 20
BUILD_CACHE = "40GB"  # with 30 GB, pruning took layers that each test run needs
VERSION = ("version", "--format", "{{.Server.Version}}")


class NoAnswer(EngineError):
    """No Docker Engine answers."""


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answers, and the settings to use it."""

    description: str
    host: str | None = None  # None: the user's own context or DOCKER_HOST
    env: dict[str, str] = field(default_factory=dict)  # additions to the environment
    private: bool = False

    def environment(self) -> dict[str, str]:
        """Return the environment for a process that uses this engine."""
        return {**os.environ, **self.env}

    def docker(self, *arguments: str | Path, limit: float | None = None) -> str:
        """Run the docker CLI on this engine and return its stdout.

        Raises EngineError with the error line of its stderr.
        """
        command, environment = ["docker", *arguments], self.environment()
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=limit, check=False
            )
        except FileNotFoundError:
            raise EngineError("there is no docker command") from None
        except subprocess.TimeoutExpired:
            raise EngineError(f"docker {arguments[0]} took more than {limit:.0f} s") from None
        if done.returncode:
            raise EngineError(telling_line(done.stderr) or f"docker {arguments[0]} failed")
        return done.stdout.strip()


def find_or_start() -> Engine:
    """Return the engine that answers, else start the private one.

    Raises EngineError if none can be started, or the engine has no Compose v2.
    """
    try:
        return machines_own()
    except NoAnswer as error:
        reason = str(error)
    refuse_unless_debian_and_root(f"no Docker Engine answers ({reason}): start it, or ")
    if os.environ.get("DOCKER_HOST", PRIVATE.url) != PRIVATE.url:
        say(f"{reason}; using a private engine instead of DOCKER_HOST")
    with locked():
        tree = debian.fetch()
        PRIVATE.start(tree.server())
    return private(PRIVATE, tree.client())


def machines_own() -> Engine:
    """Return the engine of the user's own settings.

    Raises NoAnswer, also if root's settings name the private engine, which may be down; EngineError
    without Compose v2.
    """
    if os.environ.get("DOCKER_HOST") == PRIVATE.url and os.geteuid() == 0:
        raise NoAnswer("DOCKER_HOST is the private engine")
    engine = Engine("this machine's own Docker Engine", os.environ.get("DOCKER_HOST"))
    try:
        version = engine.docker(*VERSION, limit=ANSWER_SECONDS)
    except EngineError as error:
        raise NoAnswer(str(error)) from None
    refuse_without_compose(engine, version)
    return Engine(f"{engine.description} {version}", engine.host)


def refuse_without_compose(engine: Engine, version: str) -> None:
    """Raise EngineError unless `docker compose` is version 2 or later."""
    try:
        compose = engine.docker("compose", "version", "--short", limit=ANSWER_SECONDS)
    except EngineError:
        compose = "missing"
    major = re.match(r"v?(\d+)\.", compose)
    if not major or int(major[1]) < 2:
        raise EngineError(
            f"Docker Engine {version} answers, but `docker compose` is {compose}, not version 2 or "
            "later: install docker-compose-plugin (from Docker) or docker-compose-v2 (from Ubuntu)"
        )


def refuse_unless_debian_and_root(otherwise: str = "") -> None:
    """Raise EngineError if no private engine can be started; `otherwise`: the alternative to suggest."""
    if debian.release().get("ID") != "debian":
        raise EngineError(f"{otherwise}use Debian: the private Docker Engine comes from its packages")
    if os.geteuid() != 0:
        raise EngineError(f"{otherwise}run this as root (sudo): a private Docker Engine needs it")


def private(daemon: Daemon, client: dict[str, str]) -> Engine:
    """Return a running private dockerd as an engine; `client`: the variables for docker and plugins."""
    env = {"DOCKER_HOST": daemon.url, **client}
    version = Engine("", env=env).docker(*VERSION, limit=ANSWER_SECONDS)
    description = f"private Docker Engine {version} (log: {daemon.log})"
    return Engine(description, daemon.url, env, private=True)


def running() -> Engine | None:
    """Return the engine that `find_or_start` would find without starting one, else None."""
    try:
        return machines_own()
    except NoAnswer:
        answers = os.geteuid() == 0 and PRIVATE.pid() and PRIVATE.answers()
        return private(PRIVATE, debian.fetch().client()) if answers else None


@contextmanager
def lend(engine: Engine, gid: int, folder: Path) -> Iterator[dict[str, str]]:
    """Let a group use a private engine for a `with` block, for tests without root; yield their environment.

    Other users cannot read root's cache, so the client programs (170 MB) are copied below `folder`,
    which the group must be able to read. Does not change an engine that is not private.
    """
    if not engine.private:
        yield engine.env
        return
    socket = Path(engine.host.removeprefix("unix://"))
    os.chown(socket, 0, gid)
    try:
        yield client_for_others(engine, gid, folder)
    finally:
        if socket.exists():
            os.chown(socket, 0, 0)


def client_for_others(engine: Engine, gid: int, folder: Path) -> dict[str, str]:
    """Copy the private engine's client programs below `folder`; return the variables for their users."""
    client, config = folder / "docker-client", folder / "docker-client/config"
    for part in ("bin", "config/cli-plugins"):
        shutil.copytree(Path(engine.env["DOCKER_CONFIG"]).parent / part, client / part, dirs_exist_ok=True)
    os.chown(config, -1, gid)
    config.chmod(0o2775)  # buildx keeps its state there
    return {
        "DOCKER_HOST": engine.host,
        "DOCKER_CONFIG": str(config),
        "PATH": f"{client / 'bin'}:{engine.env['PATH']}",
    }


def stop() -> None:
    """Stop the private engine; keep its images. Raises EngineError without root."""
    if os.geteuid() == 0:
        with locked():
            PRIVATE.stop()
    elif PRIVATE.run.exists():
        raise EngineError("the private engine runs as root: run this as root (sudo)")


def shrink(engine: Engine, size: str) -> None:
    """Shrink a private engine's build cache to `size`, least recently used first.

    Do not build at the same time: layers could be missing. Takes up to a minute.
    """
    if engine.private:
        engine.docker("buildx", "prune", "--force", "--max-used-space", size)


def prune() -> int:
    """Shrink the build cache if a private engine is up."""
    if engine := running():
        shrink(engine, BUILD_CACHE)
    return 0


def up() -> int:
    """Find or start an engine and print how to use it."""
    engine = find_or_start()
    print(engine.description)
    if engine.private:
        python = Path(sys.executable).name
        say(f'to use it in this shell: eval "$({python} -m engines.engine env)"')
    return 0


def down() -> int:
    """Stop the private engine."""
    stop()
    say("the private engine is stopped; its images and packages are kept")
    return 0


def status() -> int:
    """Print which engine answers; return 1 if none does."""
    engine = running()
    print(engine.description if engine else "no Docker Engine answers: python -m engines.engine up")
    return 0 if engine else 1


def env() -> int:
    """Print the settings as shell commands; the machine's own engine needs none."""
    engine = running()
    if engine is None:
        raise EngineError("no Docker Engine answers: python -m engines.engine up")
    for name, value in engine.env.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit code; expected errors, a full disk and Ctrl-C print one line."""
    try:
        return command()
    except EngineError as error:
        say(str(error))
    except OSError as error:
        say(f"{error.strerror}: {error.filename or 'while writing'}")
    except subprocess.CalledProcessError as error:  # its output says why
        say(f"`{shlex.join(map(str, error.cmd))}` ended with exit code {error.returncode}")
    except KeyboardInterrupt:
        say("interrupted; the same command continues")
        return 130
    return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m engines.engine", description=__doc__.splitlines()[0])
    commands = {"up": up, "down": down, "status": status, "env": env, "prune": prune}
    parser.add_argument("command", choices=commands)
    sys.exit(guarded(commands[parser.parse_args().command]))
