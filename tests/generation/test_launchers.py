"""The checks of tests/support/launchers.py: each of them finds what it looks for, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support import launchers
from tests.support.launchers import COLUMNS, Launcher, examine, wrong


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with the settings that the checks read."""
    monkeypatch.setattr(launchers, "WAIT_SECONDS", 5)
    for folder in ("outputs", ".cache"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ca.pem").write_text("a certificate")
    (tmp_path / ".env").write_text(f"CA_BUNDLE={tmp_path / 'ca.pem'}\n")
    return tmp_path


def finished(code: int = 0, stdout: str = "", stderr: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, stdout, stderr)


def test_a_launcher_that_does_nothing_right_is_wrong_in_every_column(project, monkeypatch):
    monkeypatch.setattr(launchers, "WAIT_SECONDS", 0.5)  # its script never starts
    broken = finished(1, stderr="level=warning msg=obsolete\nno engine")
    launcher = Launcher(
        "broken",
        project,
        build=lambda: broken,
        run=lambda *command: broken,
        start=lambda *command: subprocess.Popen(["true"]),
        stop=lambda: None,
        config=lambda: broken,
        gpus=lambda ids: "",
    )

    assert set(wrong(examine(launcher))) == set(COLUMNS)


def test_a_launcher_that_does_everything_right_has_no_wrong_column(project):
    """This machine plays the container: the project's folder is /code, and its .cache is /cache."""
    seen = subprocess.run(["cksum"], input=b"a certificate", capture_output=True, text=False).stdout.decode()
    codes = {"raise SystemExit(7)": 7, "docker": 126, "no-such-command": 127}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        if "owned" in command[-1]:
            (project / "outputs/owned").write_text("x")
        if command[-1] == launchers.PROBE:
            (project / ".cache/made").write_text("x")
            answer = {"packages": True, "cache": True, "build": seen.split(), "run": seen.split()}
            return finished(stdout=f"an id\n{json.dumps(answer)}\n")
        return finished(codes.get(command[-1], 0))

    processes = []

    def start(_script: str) -> subprocess.Popen:
        processes.append(subprocess.Popen([sys.executable, "-c", launchers.PATIENT], cwd=project))
        return processes[0]

    launcher = Launcher(
        "right",
        project,
        build=finished,
        run=run,
        start=start,
        stop=lambda: processes[0].terminate(),
        config=finished,
        gpus=lambda ids: ids,
    )

    assert wrong(examine(launcher)) == {}


@pytest.mark.parametrize(
    ("answer", "column", "said"),
    [
        ({"packages": "[Errno 13] Permission denied"}, "packages writable", "Permission denied"),
        ({"cache": "[Errno 30] Read-only file system"}, "cache", "Read-only"),
        ({"build": [], "run": []}, "secret", "not in the build and the run"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_container_may_not_do_is_said_in_its_column(project, answer, column, said):
    done = finished(stdout=json.dumps(answer))
    launcher = Launcher("x", project, finished, lambda *command: done, lambda *command: None, lambda: None)

    assert said in COLUMNS[column](launcher)
