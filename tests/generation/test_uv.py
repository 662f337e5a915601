"""What `uv` means in the image (docker/uv.py), with a program in uv's place that says how it was called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BakedProject

SYNC = "sync --extra cpu --group dev"
# As the entrypoint and VS Code have it: without the environment, `uv` starts again by the entrypoint.
PATH = {"PATH": f"/opt/venv/bin:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("add x", ["add x, not synced", "sync --inexact --extra cpu --group dev"]),
        # of the package, not of the project
        (
            "add --extra socks httpx",
            ["add --extra socks httpx, not synced", "sync --inexact --extra cpu --group dev"],
        ),
        ("remove x", ["remove x, not synced", SYNC]),
        ("sync", [SYNC]),
        ("sync --locked", ["sync --locked --extra cpu --group dev"]),
        ("sync --extra-index-url URL", ["sync --extra-index-url URL --extra cpu --group dev"]),
        # options before the command, with and without a value, and behind it
        ("-q sync", ["-q sync --extra cpu --group dev"]),
        ("--no-cache sync", ["--no-cache sync --extra cpu --group dev"]),
        ("--project . sync", ["--project . sync --extra cpu --group dev"]),
        ("--color=never --directory . sync", ["--color=never --directory . sync --extra cpu --group dev"]),
        (
            "-q add x --offline",
            ["-q add x --offline, not synced", "-q --offline sync --inexact --extra cpu --group dev"],
        ),
        (
            "--cache-dir c remove x",
            ["--cache-dir c remove x, not synced", "--cache-dir c sync --extra cpu --group dev"],
        ),
        ("run pytest", ["run pytest, not synced"]),
        ("--quiet run sync", ["--quiet run sync, not synced"]),
        # its option, and not uv's
        ("run script.py --help", ["run script.py --help, not synced"]),
        ("--allow-insecure-host h sync", ["--allow-insecure-host h sync --extra cpu --group dev"]),
        # what says by itself what is to be synced, and what syncs nothing
        *((typed, [typed]) for typed in ("sync --extra cpu", "sync --extra=cpu", "sync --only-group test")),
        *(
            (typed, [typed])
            for typed in ("add --no-sync x", "add --frozen x", "add -h", "sync --help", "lock", "--version")
        ),
        ("", [""]),
    ],
)
def test_uv_keeps_what_the_accelerator_chose(bake, tmp_path, typed, called):
    assert Uv(bake(), tmp_path).calls(typed) == called


def test_in_the_runtime_image_there_is_no_group_to_keep(bake, tmp_path):
    assert Uv(bake(), tmp_path, group="").calls("sync") == ["sync --extra cpu"]


@pytest.mark.parametrize("fails", ["add", "remove", "sync"])
def test_a_change_that_fails_leaves_the_files_as_they_were(bake, tmp_path, fails):
    """Also where uv had written them before it failed, and where there was no lock file."""
    uv = Uv(bake(), tmp_path, fails=fails)
    before = uv.files()

    uv.calls("remove x" if fails == "remove" else "add x")

    assert uv.code != 0
    assert uv.files() == before
    assert ("could not be installed" in uv.stderr) == (fails == "sync")


@pytest.mark.parametrize("option", ["--project=sub", "--directory=sub", "--project sub"])
def test_the_files_of_the_named_project_are_put_back(bake, tmp_path, option):
    uv = Uv(bake(), tmp_path, fails="sync")
    other = uv.project.path / "sub"
    other.mkdir()
    for name in ("pyproject.toml", "uv.lock"):
        (other / name).write_text("as it was\n")

    uv.calls(f"{option} add x", IN="sub")

    assert {(other / name).read_text() for name in ("pyproject.toml", "uv.lock")} == {"as it was\n"}


def test_a_change_that_is_terminated_while_it_installs_is_undone(bake, tmp_path):
    uv = Uv(bake(), tmp_path, fails="sync", hangs=True)
    before = uv.files()

    uv.terminate("add x", when="sync")

    assert uv.code == 143
    assert uv.files() == before


def test_the_doctor_which_imports_packages_does_not_get_the_password(bake, tmp_path):
    project = bake(private_index="https://pypi.example.com/simple")

    calls = Uv(project, tmp_path, doctor=0).calls("sync", PYPI_PASSWORD="s3cr3t")

    assert calls == [f"{SYNC}, with the password", "doctor --packages"]


def test_a_change_that_works_is_kept(bake, tmp_path):
    uv = Uv(bake(), tmp_path)
    uv.calls("add x")

    assert "# changed" in uv.files()["pyproject.toml"]
    assert "uv.lock" in uv.files()


@pytest.mark.parametrize(
    ("typed", "looks"),
    [
        *((typed, True) for typed in ("add x", "remove x", "sync", "sync --extra cpu", "pip install x")),
        *((typed, True) for typed in ("-q pip uninstall x", "pip sync requirements.txt")),
        *(
            (typed, False)
            for typed in ("lock", "pip list", "run pytest", "add --no-sync x", "tree", "sync -h")
        ),
    ],
)
def test_the_doctor_looks_after_each_change_and_its_exit_code_counts(bake, tmp_path, typed, looks):
    uv = Uv(bake(), tmp_path, doctor=3)

    calls = uv.calls(typed)

    assert ("doctor --packages" in calls) == looks
    assert uv.code == (3 if looks else 0)


def test_a_build_has_a_step_for_the_doctor(bake, tmp_path):
    uv = Uv(bake(), tmp_path, doctor=3)

    assert uv.calls("sync", UV_WITHOUT_DOCTOR="1") == [SYNC]
    assert uv.code == 0


class Uv:
    """docker/uv.py of a project, with stand-ins for what it starts."""

    def __init__(
        self,
        project: BakedProject,
        folder: Path,
        *,
        group: str = "dev",
        fails: str = "",
        hangs: bool = False,
        doctor: int | None = None,
    ) -> None:
        self.project, self.group, self.code, self.stderr = project, group, 0, ""
        stand_in = folder / "uv"
        ends = "exec sleep 60" if hangs else "exit 1"
        stand_in.write_text(
            '#!/bin/sh\necho "$*${UV_NO_SYNC:+, not synced}${PYPI_PASSWORD:+, with the password}"\n'
            'case " $* " in *" add "* | *" remove "*)\n'
            'for file in pyproject.toml uv.lock; do echo "# changed" >> "${IN:-.}/$file"; done ;; esac\n'
            + (f'case " $* " in *" {fails} "*) {ends} ;; esac\n' if fails else "")
        )
        stand_in.chmod(0o755)
        script = project.read("docker/uv.py")
        script, count = re.subn(
            r'UV = \["/usr/local/bin/with-network", .*"/opt/uv/bin/uv"\]', f"UV = [{str(stand_in)!r}]", script
        )
        assert count == 1
        look = folder / "doctor"
        if doctor is not None:
            look.write_text(
                f'#!/bin/sh\necho "doctor $*${{PYPI_PASSWORD:+, with the password}}"\nexit {doctor}\n'
            )
            look.chmod(0o755)
        self.script = folder / "uv.py"
        self.script.write_text(script.replace('"/usr/local/bin/doctor"', repr(str(look))))

    def command(self, typed: str) -> list[str]:
        """Return the command line of what is typed."""
        return [sys.executable, "-I", str(self.script), *typed.split()]

    def calls(self, typed: str, **settings: str) -> list[str]:
        """Type a command in the project's folder; return how uv and the doctor were called."""
        settings = {**PATH, "ACCELERATOR": "cpu", "SYNC_GROUP": self.group, **settings}
        done = self.project.run(*self.command(typed), **settings)
        self.code, self.stderr = done.returncode, done.stderr
        return done.stdout.splitlines()

    def terminate(self, typed: str, when: str) -> None:
        """Type a command, and end it as soon as uv is called with a word."""
        environment = {**os.environ, **PATH, "ACCELERATOR": "cpu", "PYTHONUNBUFFERED": "1"}
        options = {"cwd": self.project.path, "env": environment, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(self.command(typed), **options) as process:
            for line in process.stdout:
                if line.startswith(when):
                    process.terminate()
                    break
            self.code = process.wait(timeout=30)

    def files(self) -> dict[str, str]:
        """Return the two files that a change writes, as far as they are there."""
        names = ("pyproject.toml", "uv.lock")
        return {name: self.project.read(name) for name in names if (self.project.path / name).exists()}
