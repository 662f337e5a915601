"""The default project on Docker Engines and clients of several versions. Ends with a table."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines import docker_versions
from engines.base_image import base_image
from engines.docker_versions import docker_version
from engines.engine import Engine
from engines.gpu_engine import GpuEngine
from engines.mapped_engines import rootless_engine
from engines.steps import EngineError
from tests.conftest import BakedProject, generate
from tests.support import supervised
from tests.support.engine import CPU_BASE, give_up
from tests.support.launchers import Launcher, copy_for, examine, prepare, short, wrong
from tests.support.stand_ins import ON_THE_HOST
from tests.support.workers import CHECKOUT, image_of

pytestmark = pytest.mark.nightly

HOOK = Path(__file__).parent.parent / "support/nvidia-container-runtime-hook"
OWNER = 4321
ROOTLESS = "sid, rootless"
PROJECT = "capy-env-versions"
# Debian's suites; the table has the versions that they have on the day of the run.
ENGINES = {
    "sid": ("sid", ()),
    "sid, containerd store": ("sid", ("containerd-snapshotter",)),
    "trixie": ("trixie", ()),
    "bookworm": ("bookworm", ()),
}
# Whose `docker`, and whose plugins: bookworm has no Compose v2 of its own.
CLIENTS = {
    "client of sid": ("sid", "sid"),
    "client of trixie": ("trixie", "trixie"),
    "client of bookworm": ("bookworm", "trixie"),
}
PAIRS = [
    (engine, client)
    for engine in (ROOTLESS, *ENGINES)
    for client in CLIENTS
    if "bookworm" in engine or "bookworm" not in client  # nobody has a client that old with a newer engine
]


@dataclass(frozen=True)
class Running:
    """An engine that runs: its base image, and where a project is to be, and whose."""

    engine: Engine
    base: str
    home: Path
    owner: int


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> BakedProject:
    """The default project, with what the checks look at; not built."""
    project = generate(tmp_path_factory.mktemp("versions"), project=PROJECT)
    certificates = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    (project.path / ".env").write_text("")
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    prepare(project.path, certificates)
    return project


@pytest.fixture(scope="module")
def running(request, pytestconfig, tmp_path_factory) -> Iterator[Running]:
    """The engine that the test names."""
    try:
        if request.param == ROOTLESS:
            with rootless_engine("capy-versions", network=True) as (engine, home):
                yield Running(engine, base_image(CPU_BASE, engine).name, home, home.stat().st_uid)
        else:
            suite, features = ENGINES[request.param]
            with docker_version(suite, HOOK, features) as engine:
                home = tmp_path_factory.mktemp("home")
                yield Running(engine, base_image(CPU_BASE, engine).name, home, OWNER)
    except EngineError as error:
        give_up(pytestconfig, f"NO {request.param}: {error}")


def environment_of(running: Running, client: dict[str, str]) -> dict[str, str]:
    """Return the environment of a user of the client."""
    settings = {"BASE_IMAGE": running.base, "CHECKOUT": CHECKOUT, "BUILD_CACHE": "capy-tests"}
    own = ("ACCELERATOR", "CA_BUNDLE", "GPU_IDS", "USER_ID", "GROUP_ID")  # of the user
    environment = {name: value for name, value in os.environ.items() if name not in own}
    return {**environment, **settings, **client, "DOCKER_HOST": running.engine.host}


def launcher(name: str, running: Running, client: dict[str, str], project: Path) -> Launcher:
    """Return how `docker compose` of a client builds and runs a project on an engine."""
    engine, environment = running.engine, environment_of(running, client)
    run_app = ["docker", "compose", "run", "--rm", "-T", "app"]

    def call(*command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=project, env={**environment, **settings}, capture_output=True, text=True
        )

    def start(*command: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*run_app, *command], cwd=project, env=environment, stderr=subprocess.PIPE, start_new_session=True
        )

    def gpus(ids: str) -> str:
        call("docker", "tag", image_of(PROJECT), image_of(PROJECT, "nvidia"))
        engine.log.unlink(missing_ok=True)
        call(*run_app, "-c", "pass", ACCELERATOR="nvidia", GPU_IDS=ids)
        return "".join(asked["visible"] for asked in engine.calls())

    return Launcher(
        name=name,
        project=project,
        build=lambda: call("docker", "compose", "build"),
        run=lambda *command: call(*run_app, *command),
        start=start,
        stop=lambda: call("docker", "stop", *call("docker", "ps", "--quiet").stdout.split()),
        config=lambda: call("docker", "compose", "config"),
        gpus=gpus if isinstance(engine, GpuEngine) else None,
    )


@pytest.mark.parametrize(("running", "client"), PAIRS, indirect=["running"], scope="module")
def test_everything_is_right_with(running, client, prepared, launchers, tmp_path, request):
    project = copy_for(prepared.path, running.home / client, running.owner)
    programs = docker_versions.client(*CLIENTS[client], tmp_path / "client")
    kind = request.node.callspec.params["running"].partition(", ")[2]
    name = name_of(environment_of(running, programs), kind)

    row = launchers[name] = examine(launcher(name, running, programs, project))

    assert wrong(row) == {}
    environment = environment_of(running, programs)
    assert_the_client_is_found(BakedProject(project), environment)
    assert_a_supervisor_stops_it(project, environment)


def name_of(environment: dict[str, str], kind: str) -> str:
    """Return how the table calls an engine and its client: by the versions that they say they have."""

    def asked(*command: str) -> str:
        done = subprocess.run(
            ["docker", *command], env=environment, capture_output=True, text=True, check=True
        )
        return short(done.stdout)

    engine, client = (asked("version", f"--format={{{{.{side}.Version}}}}") for side in ("Server", "Client"))
    name = f"Docker {engine}, {kind}" if kind else f"Docker {engine}"
    return f"{name}, client {client}, Compose {asked('compose', 'version', '--short')}"


def assert_the_client_is_found(project: BakedProject, environment: dict[str, str]) -> None:
    """docker/write-env.sh has nothing to say of this client and this engine."""
    (project.path / ".env").write_text("")

    done = project.run("sh", "docker/write-env.sh", **environment)

    assert done.stderr == "write-env: wrote ACCELERATOR=cpu to .env\n"


def assert_a_supervisor_stops_it(project: Path, environment: dict[str, str]) -> None:
    """The script of docs/hosts.md, "Start it from a supervisor", is stopped by one signal to one process."""
    process = supervised.start(project, environment)
    try:
        process.terminate()
        _, said = process.communicate(timeout=40)
    finally:
        supervised.end(process)

    assert (process.returncode, (project / "outputs/saved").read_text()) == (42, "x"), said
