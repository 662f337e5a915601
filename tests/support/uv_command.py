"""`uv` of a project's image (docker/uv/), with a program in uv's place that says how it was called."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import BakedProject

# As the entrypoint and VS Code have it: without the environment, `uv` starts again by the entrypoint.
PATH = {"PATH": f"/opt/venv/bin:{os.environ['PATH']}"}


class Uv:
    """docker/uv/ of a project, with stand-ins for what it starts."""

    def __init__(
        self,
        project: BakedProject,
        folder: Path,
        *,
        group: str = "dev",
        fails: str = "",
        hangs: bool = False,
        doctor: str | None = None,
    ) -> None:
        self.project, self.group, self.code, self.stderr = project, group, 0, ""
        stand_in = folder / "uv"
        ends = "exec sleep 60" if hangs else "exit 1"
        stand_in.write_text(
            '#!/bin/sh\necho "$*${UV_NO_SYNC:+, not synced}${PYPI_PASSWORD:+, with the password}$LOGIN_FOR"\n'
            'case " $* " in *" add "* | *" remove "*)\n'
            'for file in pyproject.toml uv.lock; do echo "# changed" >> "${IN:-.}/$file"; done ;; esac\n'
            + (f'case " $* " in *" {fails} "*) {ends} ;; esac\n' if fails else "")
        )
        stand_in.chmod(0o755)
        with_index = folder / "with-index"
        with_index.write_text('#!/bin/sh\nexport LOGIN_FOR=", with a login for $2"\nshift 2\nexec "$@"\n')
        with_index.chmod(0o755)
        look = folder / "doctor"
        if doctor is not None:
            look.write_text(f'#!/bin/sh\necho "doctor $*${{PYPI_PASSWORD:+, with the password}}"\n{doctor}\n')
            look.chmod(0o755)
        program = Path(shutil.copytree(project.path / "docker/uv", folder / "program"))
        self.script = folder / "wrapper"
        self.script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -B {program} "$@"\n')
        self.script.chmod(0o755)
        stands_for = {
            '"/usr/local/bin/with-network", "/opt/uv/bin/uv"': f'"{stand_in}"',
            "/usr/local/bin/uv": str(self.script),
            "/usr/local/bin/doctor": str(look),
            "/usr/local/bin/with-index": str(with_index),
            "/usr/local/lib/with-index": str(project.path / "docker/with-index"),
        }
        for path in program.iterdir():
            text = path.read_text()
            for real, ours in stands_for.items():
                text = text.replace(real, ours)
            path.write_text(text)
        assert f'UV = ["{stand_in}"]' in (program / "program.py").read_text()

    def command(self, typed: str) -> list[str]:
        """Return the command line of what is typed."""
        return [str(self.script), *typed.split()]

    def calls(self, typed: str, **settings: str) -> list[str]:
        """Type a command in the project's folder; return how uv and the doctor were called."""
        settings = {**PATH, "ACCELERATOR": "cpu", "SYNC_GROUP": self.group, **settings}
        done = self.project.run(*self.command(typed), **settings)
        self.code, self.stderr = done.returncode, done.stderr
        return done.stdout.splitlines()

    def add_part(self, name: str) -> None:
        """Make a workspace of the project, with a package that has no extra."""
        part = self.project.path / name
        part.mkdir(parents=True)
        (part / "pyproject.toml").write_text("[project]\n")
        with (self.project.path / "pyproject.toml").open("a") as file:
            file.write(f'[tool.uv.workspace]\nmembers = ["{name}"]\n')

    def whole(self) -> str:
        """Return the options that name all of the workspace."""
        return f"--all-packages --directory {self.project.path} --project {self.project.path}"

    def terminate(self, typed: str, when: str, by: int = signal.SIGTERM) -> None:
        """Type a command, and send it and its children a signal as soon as it starts `when`."""
        environment = {**os.environ, **PATH, "ACCELERATOR": "cpu", "PYTHONUNBUFFERED": "1"}
        options = {"cwd": self.project.path, "env": environment, "text": True, "start_new_session": True}
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(self.command(typed), **options) as process:
            for line in process.stdout:
                if line.startswith(when):
                    (os.killpg if by == signal.SIGINT else os.kill)(process.pid, by)
                    break
            self.code, self.stderr = process.wait(timeout=30), process.stderr.read()

    def files(self) -> dict[str, str]:
        """Return the two files that a change writes, as far as they are there."""
        names = ("pyproject.toml", "uv.lock")
        return {name: self.project.read(name) for name in names if (self.project.path / name).exists()}
