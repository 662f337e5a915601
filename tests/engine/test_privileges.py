"""Least privilege: what `docker compose run` leaves to the entrypoint, and what to the script."""

from __future__ import annotations

import re
import subprocess

import yaml

APP = ("docker", "compose", "run", "--rm", "app")
NEEDED = {"SETGID": 6, "SETUID": 7}  # their bits: linux/capability.h
STATUS = "cat /proc/1/status /proc/self/status"


def test_the_script_has_no_capability_and_gets_none(project, image):
    (project.path / ".env").write_text("ACCELERATOR=cpu\nUSER_ID=1234\nGROUP_ID=5678\n")

    done = project.run(*APP, "sh", "-c", STATUS)

    assert done.returncode == 0, done.stderr
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert set(re.findall(rf"{kind}:\t(\w+)", done.stdout)) == {"0" * 16}
    assert re.findall(r"NoNewPrivs:\t(\d)", done.stdout) == ["1", "1"]
    assert set(re.findall(r"Uid:\t(.*)", done.stdout)) == {"\t".join(["1234"] * 4)}  # process 1, too


def test_root_has_what_the_entrypoint_needs_and_no_more(project):
    done = project.run(*APP, "sh", "-c", STATUS, USER_ID="0")

    bits = {int(found, 16) for found in re.findall(r"Cap(?:Eff|Bnd):\t(\w+)", done.stdout)}
    assert bits == {sum(1 << bit for bit in NEEDED.values())}


def test_each_of_them_is_needed(built, docker, image):
    """Without one of them nobody steps down, and nothing of yours is run as root instead."""
    app = yaml.safe_load(built.read("compose.yaml"))["services"]["app"]
    assert set(app["cap_add"]) == set(NEEDED)
    for missing in NEEDED:
        kept = [f"--cap-add={name}" for name in NEEDED if name != missing]
        command = ["docker", "run", "--rm", "--cap-drop=ALL", *kept, "--env=USER_ID=1234", image]

        done = subprocess.run([*command, "sh", "-c", "id -u; touch /cache/x"], capture_output=True, text=True)

        assert done.returncode != 0
        assert done.stdout == ""


def test_a_setuid_program_gives_nothing(project, image):
    """su and mount are in every Ubuntu."""
    done = project.run(*APP, "sh", "-c", "test -u /usr/bin/su && echo | su -c id", USER_ID="1234")

    assert done.returncode != 0
    assert "uid=0" not in done.stdout
