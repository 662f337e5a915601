"""What `uv` means in the image (docker/uv.sh), with a program in uv's place that says how it was called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import BakedProject

REAL = "/usr/local/bin/with-network /opt/uv/bin/uv"
SYNC = "sync --extra cpu --group dev"


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("add x", ["add x, not synced", f"{SYNC} --inexact"]),
        # of the package, not of the project
        ("add --extra socks httpx", ["add --extra socks httpx, not synced", f"{SYNC} --inexact"]),
        ("remove x", ["remove x, not synced", SYNC]),
        ("sync", [SYNC]),
        ("sync --locked", [f"{SYNC} --locked"]),
        ("sync --extra-index-url URL", [f"{SYNC} --extra-index-url URL"]),
        ("run pytest", ["run pytest, not synced"]),
        # what says by itself what is to be synced, and what syncs nothing
        *((typed, [typed]) for typed in ("sync --extra cpu", "sync --extra=cpu", "sync --only-group test")),
        *(
            (typed, [typed])
            for typed in ("add --no-sync x", "add --frozen x", "add -h", "sync --help", "lock")
        ),
        ("", [""]),
    ],
)
def test_uv_keeps_what_the_accelerator_chose(bake, tmp_path, typed, called):
    project = bake()

    assert calls(project, tmp_path, typed) == called


def test_in_the_runtime_image_there_is_no_group_to_keep(bake, tmp_path):
    assert calls(bake(), tmp_path, "sync", group="") == ["sync --extra cpu"]


def test_a_package_that_cannot_be_added_leaves_the_environment_alone(bake, tmp_path):
    assert calls(bake(), tmp_path, "add x", fails=True) == ["add x, not synced"]


def calls(
    project: BakedProject, folder: Path, typed: str, *, group: str = "dev", fails: bool = False
) -> list[str]:
    """Return how uv was called, once for each call."""
    stand_in = folder / "uv"
    stand_in.write_text(f'#!/bin/sh\necho "$*${{UV_NO_SYNC:+, not synced}}"\nexit {int(fails)}\n')
    stand_in.chmod(0o755)
    script = project.read("docker/uv.sh")
    assert REAL in script
    settings = {"ACCELERATOR": "cpu", "SYNC_GROUP": group}
    done = project.run("sh", "-c", script.replace(REAL, str(stand_in)), "uv", *typed.split(), **settings)
    assert (done.returncode != 0, done.stderr) == (fails, "")
    return done.stdout.splitlines()
