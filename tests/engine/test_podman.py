"""Podman, rootless and rootful, by each way to start a project. Ends with a table."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial

import pytest

from engines.podman import CERTIFICATES
from tests.support.launchers import Launcher, examine, short, wrong
from tests.support.podman_users import BASE, NAME, User

pytestmark = pytest.mark.nightly

SHOW = "import pathlib; print('GPUS', *sorted(path.name for path in pathlib.Path('/dev').glob('nvidia*')))"
LIST = ("run", "--rm", "-T", "--entrypoint", "sh", "app", "-c", "cd /dev && echo GPUS $(ls | grep nvidia)")
SHOWN = {"nvidia0 nvidia1": "all", "nvidia0": "0", "nvidia1": "1"}


@pytest.fixture(scope="module")
def user(podman_user: User) -> User:
    """A user of Podman."""
    return podman_user


def gpus(run: Callable[..., subprocess.CompletedProcess[str]], ids: str) -> str:
    """Return the ids that a container got: what `run` shows, by the devices of the stand-in."""
    done = run(ids)
    found = re.search(r"(?m)^GPUS ?(.*)$", done.stdout)
    return SHOWN.get(found[1], "") if found else (done.stderr.strip().splitlines() or ["nothing"])[-1]


def podman_build(user: User, target: str = "runtime", end: str = "") -> subprocess.CompletedProcess[str]:
    """Build an image as docs/hosts.md says."""
    return user.run(
        *("podman", "build", "--network=host", "--file=docker/Dockerfile", f"--target={target}"),
        *(f"--build-arg=BASE_IMAGE={BASE}", "--build-arg=ACCELERATOR=cpu"),
        *(f"--secret=id=ca,src={CERTIFICATES}", f"--tag=localhost/{NAME}:cpu{end}", "."),
    )


def by_podman(user: User) -> Launcher:
    """`podman build` and `podman run`."""
    run = ("podman", "run", "--rm", "--network=host", f"--volume={user.folder}:/code")
    run += (f"--volume={user.folder}/.cache:/cache", f"--volume={CERTIFICATES}:/run/secrets/ca:ro")
    run += ("--cap-drop=ALL", "--cap-add=SETGID,SETPCAP,SETUID", "--security-opt=no-new-privileges")
    image = f"localhost/{NAME}:cpu"
    return Launcher(
        f"{user.name}, podman run",
        user.path,
        partial(podman_build, user),
        lambda *words: user.run(*run, image, *words),
        lambda *words: user.start(*run, image, *words),
        user.stop,
        gpus=partial(gpus, lambda ids: user.run(*run, f"--device=nvidia.com/gpu={ids}", image, "-c", SHOW)),
    )


def by_compose(user: User, compose: tuple[str, ...], accelerator: str, build: Callable) -> Launcher:
    """A Compose: docker-compose, which `podman compose` starts on Podman's socket."""
    run = (*compose, "run", "--rm", "-T", "app")
    settings = {"USER_ID": "", "GROUP_ID": "", "PUBLIC_INDEX_URL": "", "ACCELERATOR": "cpu"}

    def with_gpus(ids: str) -> subprocess.CompletedProcess[str]:
        user.run("podman", "tag", f"localhost/{NAME}:cpu", f"localhost/{NAME}:{accelerator}")
        return user.run(*run, "-c", SHOW, **{**settings, "ACCELERATOR": accelerator, "GPU_IDS": ids})

    version = short(user.run(*compose, "version", "--short").stdout)
    return Launcher(
        f"{user.name}, {' '.join(compose)} with Compose {version}",
        user.path,
        build,
        lambda *words: user.run(*run, *words, **settings),
        lambda *words: user.start(*run, *words, **settings),
        user.stop,
        config=lambda: user.run(*compose, "config", **settings),
        gpus=partial(gpus, with_gpus),
    )


def test_podman_build_and_run(user, launchers):
    launcher = by_podman(user)

    launchers[launcher.name] = row = examine(launcher)

    assert wrong(row) == {}


def test_podman_compose_runs_what_podman_build_has_built(user, launchers):
    launcher = by_compose(user, ("podman", "compose"), "cdi", partial(podman_build, user))

    row = examine(launcher)
    row["builds"] = "- by podman build: docker-compose takes no secrets there"
    launchers[launcher.name] = row

    # it says on stderr which program it starts
    assert wrong(row) == {}


def test_the_stage_dev_has_its_tools(user):
    done = podman_build(user, "dev", "-dev")

    assert done.returncode == 0, done.stderr[-2000:]
    asked = user.run(
        "podman", "run", "--rm", "--network=none", f"localhost/{NAME}:cpu-dev", "ruff", "--version"
    )
    assert (asked.returncode, asked.stdout[:4]) == (0, "ruff"), asked.stderr


def test_the_detection_finds_podman_and_its_gpus(user):
    project = user.path
    (project / ".env").rename(project / ".env-kept")
    try:
        done = user.run("sh", "docker/write-env.sh", CHECKOUT="", BUILD_CACHE="x")
        written = (project / ".env").read_text()
    finally:
        (project / ".env-kept").rename(project / ".env")

    assert (done.returncode, written) == (0, "ACCELERATOR=cdi\n"), done.stderr
    assert "podman compose -f compose.yaml -f docker/podman.yaml build app" in done.stderr


@pytest.mark.parametrize(
    ("compose", "settings", "shown"),
    [
        pytest.param("podman compose", {"ACCELERATOR": "cdi"}, "nvidia0 nvidia1", id="docker-compose, all"),
        pytest.param(
            "podman compose", {"ACCELERATOR": "cdi", "GPU_IDS": "1"}, "nvidia1", id="docker-compose, one"
        ),
        # why the detection does not choose these
        pytest.param("podman compose", {"ACCELERATOR": "nvidia"}, "", id="docker-compose, without CDI"),
        # it follows one step of `extends`, so the project has no GPU, no limits and no base image there
        pytest.param("podman-compose", {"ACCELERATOR": "cdi"}, "", id="podman-compose, by CDI's name"),
        pytest.param("podman-compose", {"ACCELERATOR": "nvidia"}, "", id="podman-compose"),
    ],
)
def test_the_gpus_reach_a_container(user, compose, settings, shown):
    """With the base image in the project's place, so without a build."""
    user.run("podman", "tag", BASE, f"localhost/{NAME}:{settings['ACCELERATOR']}")
    unset = {"USER_ID": "", "GROUP_ID": "", "PUBLIC_INDEX_URL": ""}

    done = user.run(*compose.split(), *LIST, **unset, **settings)

    assert f"GPUS {shown}".strip() in done.stdout.splitlines(), done.stderr


def test_several_gpus_reach_a_container_where_compose_is_new_enough(user):
    user.run("podman", "tag", BASE, f"localhost/{NAME}:cdi")
    settings = {"ACCELERATOR": "cdi", "GPU_IDS": "0", "SECOND_GPU": "nvidia.com/gpu=1"}

    done = user.run("podman", "compose", *LIST, **settings)

    if user.host.release == "sid":  # with Compose 2.40
        assert done.stdout == "GPUS nvidia0 nvidia1\n", done.stderr
    else:  # 2.26 knows devices by their paths alone, and says so
        assert "stat nvidia.com/gpu=1: no such file or directory" in done.stderr
