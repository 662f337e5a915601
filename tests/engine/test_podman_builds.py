"""What docs/hosts.md says of builds by Podman's Compose and of a dev container, to the end."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engines.podman import CERTIFICATES, UID
from tests.conftest import BakedProject, generate
from tests.support.engine import give_up
from tests.support.launchers import copy_for
from tests.support.podman_users import BASE, User
from tests.support.stand_ins import ON_THE_HOST

pytestmark = pytest.mark.nightly

PLAIN = "capy-env-podman-plain"
WITH_CERTIFICATES = "localhost/base:with-certificates"
TRUST = f"FROM {BASE}\nCOPY trusted /etc/ssl/certs/ca-certificates.crt\n" + "".join(
    f"ENV {name}=/etc/ssl/certs/ca-certificates.crt\n" for name in ("SSL_CERT_FILE", "PIP_CERT")
)
CLI = Path(__file__).parents[1] / "devcontainer/node_modules/@devcontainers/cli"
LOOK = "touch /code/made /cache/made /opt/venv/made && grep CapEff /proc/self/status && pytest --quiet"


@pytest.fixture(scope="module")
def user(podman_user: User, tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user with an unchanged project, and a base image that trusts what this machine trusts.

    The certificates cannot come as a build secret: that is what docker/podman.yaml leaves out.
    """
    source = generate(tmp_path_factory.mktemp("source"), project=PLAIN)
    (source.path / ".env").write_text(f"BASE_IMAGE={WITH_CERTIFICATES}\nACCELERATOR=cpu\n")
    (source.path / "compose.override.yaml").write_text(ON_THE_HOST)
    user = replace(podman_user, project=PLAIN)
    copy_for(source.path, user.path, UID)
    context = user.host.home / "trust"
    context.mkdir(exist_ok=True)
    shutil.copy(CERTIFICATES, context / "trusted")
    (context / "Containerfile").write_text(TRUST)
    done = user.run("podman", "build", f"--tag={WITH_CERTIFICATES}", "/home/trust")
    assert done.returncode == 0, done.stderr
    return user


def test_docker_compose_builds_with_the_overlay_and_runs_that(user):
    files = ("-f", "compose.yaml", "-f", "compose.override.yaml")

    refused = user.run("podman", "compose", *files, "build", "app")
    built = user.run("podman", "compose", *files, "-f", "docker/podman.yaml", "build", "app")
    done = user.run("podman", "compose", "run", "--rm", "-T", "app", "script.py")

    assert "the classic builder doesn't support secrets" in refused.stderr
    assert built.returncode == 0, built.stderr[-3000:]
    assert done.returncode == 0, done.stderr
    (result,) = (user.path / "outputs").glob("*.png")
    assert result.stat().st_uid == user.path.stat().st_uid


def test_podman_build_takes_the_secrets_as_the_project_s_page_says(user):
    """Its command word for word, but for the base image and the network of this machine."""
    listed = user.run("podman", "compose", "config", "--images", "app")
    page = (user.path / "docs/engines.md").read_text()
    command = re.search(r"(?ms)^podman build .*?$(?<!\\)", page)[0]
    for written, here in (
        ("NAME", listed.stdout.strip()),
        ("ubuntu:24.04", f"{BASE} --network host"),
        ("ca.pem", CERTIFICATES),
    ):
        assert command.count(written) == 1
        command = command.replace(written, str(here))

    built = user.run("sh", "-c", command)
    done = user.run("podman", "compose", "run", "--rm", "-T", "app", "script.py")

    assert built.returncode == 0, built.stderr[-3000:]
    assert done.returncode == 0, done.stderr


def test_a_dev_container_opens_and_everything_in_it_can_be_written(user, pytestconfig):
    """As root, who is you, or as `app` by keep-id; on a rootful Podman as `app`.

    The client looks for the image that Compose built under localhost/, where it is not, to write the ids of
    `app` into it. The entrypoint does that in the container.
    """
    if not (CLI / "devcontainer.js").exists() or not shutil.which("node"):
        give_up(pytestconfig, "NO CLIENT: it needs Node 20 or newer with npm, then `make test` installs it")
    project = BakedProject(user.path)
    settings, compose = (
        project.path / ".devcontainer" / name for name in ("devcontainer.json", "compose.yaml")
    )
    before, service = settings.read_text(), compose.read_text()
    names = ["../compose.yaml", "../compose.override.yaml", "../docker/podman.yaml", "compose.yaml"]
    listed = before.replace('["../compose.yaml", "compose.yaml"]', json.dumps(names))
    as_root = listed.replace('"remoteUser": "app"', '"remoteUser": "root"')
    as_app = listed.replace('"updateRemoteUserUID": true', '"updateRemoteUserUID": false')
    kept = service.replace("    build:\n", '    userns_mode: keep-id\n    user: "0:0"\n    build:\n', 1)
    assert before not in (listed, as_root, as_app)
    ways = [(as_root, service), (as_app, kept)] if user.rootless else [(as_app, service)]

    for text, of_compose in ways:
        settings.write_text(text)
        compose.write_text(of_compose)
        assert_it_opens(user, project)


def assert_it_opens(user: User, project: BakedProject) -> None:
    """The client of VS Code makes the container; what it writes in the project is the owner's."""
    made = project.path / "made"
    folder = ("--workspace-folder", user.folder, "--docker-path", "podman")
    for source, name in ((CLI, "cli"), (Path(shutil.which("node")).resolve(), "node")):
        if not (user.host.home / name).exists():
            (shutil.copytree if source.is_dir() else shutil.copy)(source, user.host.home / name)
    try:
        opened = user.run("/home/node", "/home/cli/devcontainer.js", "up", *folder)
        assert opened.returncode == 0, opened.stdout + opened.stderr[-3000:]
        done = user.run("/home/node", "/home/cli/devcontainer.js", "exec", *folder, "sh", "-c", LOOK)
        assert done.returncode == 0, done.stdout + done.stderr
        assert made.stat().st_uid == project.path.stat().st_uid
    finally:
        made.unlink(missing_ok=True)
        user.run("podman", "rm", "--all", "--force", "--time=1")
