"""Provide the engine, the base image and a built project to all tests with Docker.

Each worker generates and builds one project; a test that changes files takes a copy.
The workers share an engine: CHECKOUT in the names of images and containers separates them. All tests of a
file run on one worker, so names that one file uses need no suffix.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from python_on_whales import DockerClient, DockerException
from python_on_whales.exceptions import NoSuchContainer

from engines import arm64
from engines.base_image import Base, base_image
from engines.engine import BUILD_CACHE, Engine, find_or_start, running, shrink, stop
from engines.leftovers import remove_leftovers
from engines.steps import EngineError, cache, locked
from tests.conftest import BakedProject, generate
from tests.support.workers import CHECKOUT, ENGINE_USED, WORKER, image_of, report

CPU_BASE = "ubuntu:24.04"
# Images, containers and networks of the tests, removed at the end.
IMAGES = (
    "capy-test*",
    "capy-index*",
    "capy-copy*",
    "capy-first*",
    "capy-dev*",
    "capy-ci*",
    "capy-demo*",
    "capy-env-*",
    "vsc-capy-*",
)
OURS = re.compile(
    r"capy-(test|index|copy|first|ci|demo|dev|env-[a-z-]+?)(-devcontainer-[a-z]+|-guarded)?(-gw\d+)?(-\d+)?(-ray(-local)?)?_default"
)
SETTINGS = ("ACCELERATOR", "BASE_IMAGE", "CACHE_DIR", "GPU_IDS", "GROUP_ID", "USER_ID")
INDEX = ("PYPI_ACCOUNT", "PYPI_PASSWORD", "PYPI_TRUSTED_HOST", "PUBLIC_INDEX_URL", "PIP_CONF", "NETRC")
PROJECT_LABEL = "com.docker.compose.project"  # Compose's label on images that it builds
FOLDER_LABEL = "com.docker.compose.project.working_dir"
STARTED = pytest.StashKey[bool]()
WAS_UP = pytest.StashKey[bool]()


@dataclass(frozen=True)
class Finished:
    """The exit code and the output of a container."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """Return this machine's Docker Engine, else a private one, which `pytest_unconfigure` stops.

    Sets its environment in this process. Without an engine, fails if CI is set, else skips.
    """
    try:
        if os.geteuid() == 0:
            with locked():
                remove_leftovers()
                arm64.forget_unless_in_use()
        found = find_or_start()
    except EngineError as error:
        give_up(pytestconfig, f"NO ENGINE: {error}")
    report(pytestconfig, f"engine: {found.description}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.env.items():
            patch.setenv(name, value)
        # settings of the user must not affect the tests
        for name in (*SETTINGS, *INDEX, "HF_TOKEN", "WANDB_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("TZ", "")
        # Docker's clients live for 0.1 s, and spend a tenth of it on collecting garbage
        patch.setenv("GOGC", "400")
        if bundle := os.environ.get("SSL_CERT_FILE"):
            patch.setenv("CA_BUNDLE", bundle)
        patch.setenv("BUILD_CACHE", "capy-tests")  # shared by all projects, to download once
        if CHECKOUT:
            patch.setenv("CHECKOUT", CHECKOUT)
        pytestconfig.stash[STARTED] = pytestconfig.stash[ENGINE_USED] = True
        yield found
        pytestconfig.stash[STARTED] = False


def pytest_configure(config: pytest.Config) -> None:
    """Note whether an engine is up before any worker starts one, or the caller of pytest stops it."""
    if not WORKER:
        config.stash[WAS_UP] = "ENGINE_STAYS" in os.environ or running_or_none() is not None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the tests made, after all workers; stop the private engine unless it was up before."""
    # after Ctrl-C the workers report nothing
    used = config.stash.get(ENGINE_USED, False) or not config.stash.get(WAS_UP, True)
    if WORKER or not used:
        return
    found = running_or_none()
    if found is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.env.items():
            patch.setenv(name, value)
        try:
            tidy()
            if found.private:
                shrink(found, BUILD_CACHE)
        finally:
            if found.private and not config.stash[WAS_UP]:
                stop()


def running_or_none() -> Engine | None:
    """Return the running engine, None if it cannot be used."""
    try:
        return running()
    except EngineError:
        return None


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Remove untagged images after each file of tests: each rebuild leaves one of some hundred MB."""
    if nextitem is not None and nextitem.path != item.path and item.config.stash.get(STARTED, False):
        remove_untagged()


def remove_untagged() -> None:
    """Remove this worker's images that have lost their name to a newer one."""
    docker = DockerClient()
    for image in docker.image.list(filters=[("dangling", "true"), ("label", PROJECT_LABEL)]):
        # an image that another one is made of goes with that; or another worker removed it
        with suppress(DockerException):
            project = f"{image.config.labels[PROJECT_LABEL]}_default"
            if OURS.match(project) and (not WORKER or f"{CHECKOUT}_" in project):
                image.remove(force=True)


def tidy() -> None:
    """Remove what the tests made: containers of interrupted tests, then images and networks."""
    docker = DockerClient()
    for container in docker.container.list(all=True, filters=[("label", PROJECT_LABEL)]):
        labels = container.config.labels
        folder = Path(labels.get(FOLDER_LABEL, "/")).resolve()
        is_a_test_s = folder.is_relative_to(Path(tempfile.gettempdir()).resolve())
        if is_a_test_s and OURS.match(f"{labels[PROJECT_LABEL]}_default"):
            container.remove(force=True, volumes=True)
    for volume in docker.volume.list(filters=[("label", PROJECT_LABEL)]):
        if OURS.match(f"{volume.labels[PROJECT_LABEL]}_default"):
            volume.remove()
    images = [image for name in IMAGES for image in docker.image.list(filters=[("reference", name)])]
    ids = sorted({image.id for image in images})
    for container in docker.container.list(all=True):  # Ctrl-C leaves those of `docker run`
        with suppress(NoSuchContainer):  # another one's, that has just ended
            if container.image in ids:
                container.remove(force=True, volumes=True)
    docker.image.remove(ids, force=True)
    remove_untagged()
    docker.network.remove([network for network in docker.network.list() if OURS.match(network.name)])


@pytest.fixture(scope="session")
def base(engine: Engine, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Return the base image of ACCELERATOR=cpu or its stand-in, and set BASE_IMAGE."""
    found = base_image(CPU_BASE, engine)
    if found.stand_in:
        report(pytestconfig, f"STAND-IN: the tests ran on {found.name}, not on {CPU_BASE}: {found.why}")
        os.environ["BASE_IMAGE"] = found.name
    # BuildKit may run a step of two first builds twice, and later builds then take one layer or the other
    with (cache() / "first-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build_default(tmp_path_factory.mktemp("first"))
    return found


@pytest.fixture(scope="session")
def docker(engine: Engine) -> DockerClient:
    """Return the Docker client of the session's engine."""
    return DockerClient()


@pytest.fixture(scope="session")
def built(base: Base, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Return a project with the default answers, built for ACCELERATOR=cpu. Do not change it."""
    return build_default(tmp_path_factory.mktemp("built"))


def build_default(folder: Path) -> BakedProject:
    """Generate the project with the default answers in a folder and build its image for ACCELERATOR=cpu."""
    project = generate(folder, project="capy-test")
    (project.path / ".env").write_text("ACCELERATOR=cpu\n")  # whatever this machine has
    (project.path / "data").mkdir()
    (project.path / "data/set").write_text("stays out of the image")
    done = project.run("docker", "compose", "build", "--progress", "plain")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture(scope="session")
def image(built: BakedProject) -> str:
    """Return the name of the built image."""
    return image_of("capy-test")


@pytest.fixture
def project(built: BakedProject, tmp_path: Path) -> BakedProject:
    """Return a copy of the built project that a test may change; it shares the image."""
    return BakedProject(Path(shutil.copytree(built.path, tmp_path / built.path.name)))


@pytest.fixture
def folder(tmp_path: Path, image: str) -> Iterator[Callable[[int, int], Path]]:
    """Return folder(uid, gid), which makes an empty folder with this owner, to mount at /code."""
    made = tmp_path / "code"

    def make(uid: int, gid: int) -> Path:
        made.mkdir(exist_ok=True)
        change_owner(made, uid, gid, image)
        return made

    yield make
    if made.exists():
        change_owner(made, os.getuid(), os.getgid(), image)


def change_owner(path: Path, uid: int, gid: int, image: str) -> None:
    """Change the owner of everything below `path` to uid:gid, in a container without root here."""
    if os.getuid() == 0:
        command = ["chown", "-R", f"{uid}:{gid}", str(path)]
    else:
        command = [
            "docker",
            "run",
            "--rm",
            "--volume",
            f"{path}:/x",
            "--entrypoint",
            "chown",
            image,
        ]
        command += ["-R", f"{uid}:{gid}", "/x"]
    subprocess.run(command, check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return an empty folder that every user can open, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def start(docker: DockerClient, image: str, folder) -> Callable[..., Finished]:
    """Return start(*command, owner=(uid, gid), **options): `docker run` with a folder of the owner at /code.

    `owner=None` mounts nothing; the other options are those of python-on-whales' docker.run.
    """

    def run(*command: str, owner: tuple[int, int] | None = (1234, 1234), **options) -> Finished:
        volumes = [(folder(*owner), "/code")] if owner else []
        # never: python-on-whales would inspect the image before each run
        options = {"remove": True, "stream": True, "pull": "never", **options}
        return finish(lambda: docker.run(image, command, volumes=volumes, **options))

    return run


def finish(command: Callable) -> Finished:
    """Run a streaming python-on-whales command to its end."""
    output = {"stdout": b"", "stderr": b""}
    code = 0
    try:
        for name, line in command():
            output[name] += line
    except DockerException as error:
        code = error.return_code
    return Finished(code, output["stdout"].decode().strip(), output["stderr"].decode().strip())


def give_up(config: pytest.Config, reason: str) -> None:
    """Fail if CI is set, else skip and report it in the summary."""
    report(config, reason)
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
