"""GPUs by CDI, on an engine without NVIDIA's runtime: every launcher of a project asks for them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from engines import docker_versions
from engines.cdi import cdi_engine
from engines.engine import Engine
from engines.gpu_engine import copy_image
from engines.steps import EngineError
from tests.conftest import BakedProject, generate
from tests.support.engine import give_up
from tests.support.workers import CHECKOUT, image_of

PROJECT = "capy-env-cdi"
# Debian's suites, of the engine and of the client with its Compose; empty: the newest that the tests have.
PAIRS = [
    pytest.param(("", ""), id="newest"),
    pytest.param(("trixie", ""), id="trixie", marks=pytest.mark.nightly),
    pytest.param(("trixie", "trixie"), id="trixie with its own Compose", marks=pytest.mark.nightly),
]
SHOW = ("-c", "import pathlib; print(*sorted(path.name for path in pathlib.Path('/dev').glob('nvidia*')))")
BOTH = "nvidia0 nvidia1"
DEV = ("-f", "compose.yaml", "-f", ".devcontainer/compose.yaml")
LAUNCHERS = {
    "app": ("run", "--rm", "--no-deps", "app"),
    "jupyter": ("run", "--rm", "--no-deps", "jupyter"),
    "dev container": (
        "-f",
        "compose.yaml",
        "-f",
        ".devcontainer/compose.yaml",
        "run",
        "--rm",
        "app",
        "python",
    ),
    "guarded": ("-f", "compose.guarded.yaml", "run", "--rm", "app"),
    "ray": ("-f", "compose.ray.yaml", "run", "--rm", "ray-worker"),
    "ray, rehearsal": ("-f", "compose.ray.local.yaml", "run", "--rm", "ray-worker"),
    "ray, submit": ("-f", "compose.ray.yaml", "run", "--rm", "--entrypoint", "entrypoint", "ray"),
}


@dataclass(frozen=True)
class OnCdi:
    """A project on the engine with CDI, as docker/write-env.sh has set it up."""

    project: BakedProject
    engine: Engine
    client: dict[str, str]  # what its user adds to the environment
    said: str  # by write-env.sh

    def compose(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` in the project."""
        environment = {**self.engine.environment(), **self.client, **settings}
        return self.project.run("docker", "compose", *arguments, **environment)


@pytest.fixture(scope="module", params=PAIRS)
def cdi(
    request: pytest.FixtureRequest,
    engine: Engine,
    light_image: str,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[OnCdi]:
    """A project with every launcher, and the light image under all names that it uses."""
    suite, compose = request.param
    project = generate(
        tmp_path_factory.mktemp("cdi"),
        project=PROJECT,
        notebook=True,
        scale_out="ray",
        environment="training",
    )
    (project.path / "outputs").mkdir()
    (project.path / ".env").unlink(missing_ok=True)
    with ExitStack() as stack:
        try:
            second = stack.enter_context(cdi_engine("cditest", suite))
        except EngineError as error:
            give_up(pytestconfig, f"NO SECOND ENGINE: {error}")
        copy_image(light_image, engine, second)
        for tag in ("cdi", "cdi-dev", "cdi-guarded", "nvidia"):
            second.docker("tag", light_image, image_of(PROJECT, tag))
        # the light image, and no build: compose.guarded.yaml builds at each run
        guarded = project.path / "compose.guarded.yaml"
        guarded.write_text(guarded.read_text().replace("pull_policy: build", "pull_policy: never"))
        client = (
            docker_versions.client(compose, compose, tmp_path_factory.mktemp("client")) if compose else {}
        )
        # .env gets ACCELERATOR alone: CHECKOUT and BUILD_CACHE are set
        settings = {"CHECKOUT": CHECKOUT, "BUILD_CACHE": "capy-tests"}
        written = project.run("sh", "docker/write-env.sh", **{**second.environment(), **client, **settings})
        token = project.run("sh", "docker/ray-token.sh")
        assert (written.returncode, token.returncode) == (0, 0), written.stderr + token.stderr
        yield OnCdi(project, second, client, written.stderr)


def test_the_detection_chooses_cdi(cdi):
    assert cdi.project.read(".env") == "ACCELERATOR=cdi\n"
    assert cdi.said == "write-env: wrote ACCELERATOR=cdi to .env\n"


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_gives_the_gpus(cdi, name):
    done = cdi.compose(*LAUNCHERS[name], *SHOW)

    assert (done.returncode, done.stdout) == (0, f"{BOTH}\n"), done.stderr


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        pytest.param("--device=nvidia.com/gpu=all", BOTH, id="all"),
        pytest.param("--device=nvidia.com/gpu=1", "nvidia1", id="one"),
        pytest.param("--gpus=all", None, id="not by --gpus"),
    ],
)
def test_docker_run_names_the_gpus_as_devices(cdi, option, shown):
    environment = {**cdi.engine.environment(), **cdi.client}
    done = cdi.project.run("docker", "run", "--rm", option, image_of(PROJECT, "cdi"), *SHOW, **environment)

    if shown is None:
        assert 'could not select device driver ""' in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, f"{shown}\n"), done.stderr


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        pytest.param({"GPU_IDS": "all"}, BOTH, id="all"),
        pytest.param({"GPU_IDS": "1"}, "nvidia1", id="one"),
        pytest.param({"ACCELERATOR": "nvidia"}, None, id="not by NVIDIA's runtime"),
    ],
)
def test_gpu_ids_choose(cdi, settings, shown):
    done = cdi.compose(*LAUNCHERS["app"], *SHOW, **settings)

    if shown is None:
        assert 'could not select device driver "nvidia"' in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, f"{shown}\n"), done.stderr


def test_several_gpus_take_a_compose_that_knows_cdi_devices(cdi):
    done = cdi.compose(*LAUNCHERS["app"], *SHOW, GPU_IDS="0", SECOND_GPU="nvidia.com/gpu=1")

    if cdi.client:  # Compose 2.26
        assert done.returncode != 0
        assert "nvidia.com/gpu=1" in done.stderr
    else:
        assert (done.returncode, done.stdout) == (0, f"{BOTH}\n"), done.stderr
