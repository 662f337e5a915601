"""Least privilege: what `docker compose run` leaves to the entrypoint, and what to the script."""

from __future__ import annotations

import os
import re
import subprocess

import yaml

from tests.support.engine import change_owner
from tests.support.stand_ins import build_image
from tests.support.workers import CHECKOUT

APP = ("docker", "compose", "run", "--rm", "app")
NEEDED = ("SETGID", "SETUID")  # to step down
STATUS = "cat /proc/1/status /proc/self/status"


def test_the_script_has_no_capability_and_gets_none(project, image):
    (project.path / ".env").write_text("ACCELERATOR=cpu\nUSER_ID=1234\nGROUP_ID=5678\n")

    done = project.run(*APP, "sh", "-c", STATUS)

    assert done.returncode == 0, done.stderr
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert set(re.findall(rf"{kind}:\t(\w+)", done.stdout)) == {"0" * 16}
    assert re.findall(r"NoNewPrivs:\t(\d)", done.stdout) == ["1", "1"]
    assert set(re.findall(r"Uid:\t(.*)", done.stdout)) == {"\t".join(["1234"] * 4)}  # process 1, too


def test_who_is_root_has_none_either(project, image):
    """In root's folder. It becomes nobody else, who may read more."""
    change_owner(project.path, 0, 0, image)
    become = "import os; os.setuid(1234)"

    status = project.run(*APP, "sh", "-c", STATUS, USER_ID="0")
    other = project.run(*APP, "-c", become, USER_ID="0")

    change_owner(project.path, os.getuid(), os.getgid(), image)
    assert set(re.findall(r"Uid:\t(\d+)", status.stdout)) == {"0"}
    assert set(re.findall(r"Cap\w+:\t(\w+)", status.stdout)) == {"0" * 16}  # the bounding set, too
    assert "PermissionError" in other.stderr


def test_who_is_root_keeps_what_is_added_for_once(project):
    add = (*APP[:-1], "--cap-add", "ALL", "app")

    done = project.run(*add, "sh", "-c", "touch /tmp/x && chown 1234 /tmp/x", USER_ID="0")

    assert done.returncode == 0, done.stderr


def test_each_of_them_is_needed(built, docker, image):
    """Without one of them nobody steps down, and nothing of yours is run as root instead."""
    app = yaml.safe_load(built.read("compose.yaml"))["services"]["app"]
    assert set(app["cap_add"]) == {*NEEDED, "SETPCAP"}
    for missing in NEEDED:
        kept = [f"--cap-add={name}" for name in NEEDED if name != missing]
        command = ["docker", "run", "--rm", "--cap-drop=ALL", *kept, "--env=USER_ID=1234", image]

        done = subprocess.run([*command, "sh", "-c", "id -u; touch /cache/x"], capture_output=True, text=True)

        assert done.returncode != 0
        assert done.stdout == ""


def test_a_setuid_program_gives_nothing(light, light_image):
    """As su and mount are in every Ubuntu; this one asks for no password."""
    step = "RUN install -m 4755 /usr/bin/id /usr/bin/setuid-id"
    image = build_image(f"FROM {light_image}\n{step}\n", f"capy-env-setuid{CHECKOUT}")
    app = yaml.safe_load(light.read("compose.yaml"))["services"]["app"]
    command = ["docker", "run", "--rm", "--env=USER_ID=1234"]
    command += [f"--cap-drop={name}" for name in app["cap_drop"]]
    command += [f"--cap-add={name}" for name in app["cap_add"]]

    def who(*options: str) -> str:
        run = [*command, *options, image, "setuid-id", "-u"]
        return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()

    assert who(*(f"--security-opt={name}" for name in app["security_opt"])) == "1234"
    assert who() == "0"  # what it would give
