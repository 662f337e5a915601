"""Every environment, opened by host users with ids of all kinds; the table at the tests' end is made here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from capy_template.matrix import load
from tests.conftest import BakedProject
from tests.devcontainer.conftest import clone, debugged, devcontainer, opened
from tests.support.stand_ins import lock
from tests.support.workers import report

# app's own id in the image; another; one of a directory service (AD, LDAP)
UIDS = (1000, 1234, 1900000001)
# Those of the tests that build the same packages: one build serves all.
ANSWERS = {
    "full": {"scale_out": "ray-and-kubernetes"},
    "training": {"notebook": True},
    "training-ngc": {"notebook": True},
}
STEPS = ("build", "up", "exec", "postCreate", "owner", "debugpy", "tests")


@pytest.fixture(scope="module", autouse=True)
def table(pytestconfig: pytest.Config) -> Iterator[dict[tuple[str, int], list[str]]]:
    """The steps that each cell got through; reported as a table."""
    rows: dict[tuple[str, int], list[str]] = {}
    yield rows
    report(pytestconfig, f"{'environment':<14} {'uid':<11} {' '.join(f'{step:<11}' for step in STEPS)}")
    for (environment, uid), done in rows.items():
        marks = " ".join(f"{'yes' if step in done else '-':<11}" for step in STEPS)
        report(pytestconfig, f"{environment:<14} {uid:<11} {marks}")


@pytest.mark.nightly
@pytest.mark.parametrize(("environment", "uid"), [*itertools.product(load()["environments"], UIDS)])
def test_it_opens_and_everything_works_as(uid, environment, host_user, pytorch, request, table):
    done = table.setdefault((environment, uid), [])
    # `build` comes without initializeCommand, which would find out
    settings = {"ACCELERATOR": "cpu"}
    if environment == "training-ngc":
        settings["BASE_IMAGE"] = request.getfixturevalue("ngc_image")
    user = host_user(uid)
    user = replace(user, environment=user.environment | settings)
    if environment == "inference":  # as in test_devcontainer.py: one build
        project = clone(user.home, "capy-dev")
    else:
        answers = ANSWERS.get(environment, {})
        project = clone(user.home, f"capy-env-{environment}", environment=environment, **answers)
        pytorch.use_in(project)
        lock(project)
        let_the_client_read_the_override(project)
    user.own(project)

    built = devcontainer(user, project, "build")
    assert built.returncode == 0, built.stdout + built.stderr
    done.append("build")

    with opened(user, project) as dev:
        done.append("up")
        assert dev.execute("id", "-u") == str(uid)
        done.append("exec")
        assert dev.execute("git", "config", "--system", "--get", "safe.directory") == "/code"
        done.append("postCreate")
        dev.execute("touch", "/code/made-here")
        assert (project.path / "made-here").stat().st_uid == uid
        done.append("owner")
        assert debugged(dev) == "42"
        done.append("debugpy")
        assert " passed" in dev.execute("pytest", "-q")
        done.append("tests")


def let_the_client_read_the_override(project: BakedProject) -> None:
    """It reads the files that devcontainer.json lists, and no compose.override.yaml by itself."""
    if (project.path / "compose.override.yaml").exists():
        settings = project.path / ".devcontainer/devcontainer.json"
        files = '"../compose.yaml", "compose.yaml"'
        settings.write_text(settings.read_text().replace(files, f'{files}, "../compose.override.yaml"'))
