"""Generation that is ended at any moment: a second run with -f makes it whole, and keeps what is yours."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import TEMPLATE, generate, run_cookiecutter
from tests.generation.conftest import contents

NOTES = "my own notes\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
@pytest.mark.parametrize("times", [3, pytest.param(25, marks=pytest.mark.nightly)])
def test_a_second_run_repairs_what_an_interrupted_one_left(tmp_path, number, times):
    begin = time.monotonic()
    whole = contents(generate(tmp_path / "whole").path)
    whole_run = 2 * (time.monotonic() - begin) + 0.5  # a process of its own starts first
    dice = random.Random(number)
    for attempt in range(times):
        folder = tmp_path / str(attempt)
        (folder / "my-project").mkdir(parents=True)
        (folder / "my-project/notes.txt").write_text(NOTES)

        process = subprocess.Popen(
            [sys.executable, "-m", "cookiecutter", "--no-input", "-f", str(TEMPLATE)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(dice.uniform(0, whole_run))
        process.send_signal(number)
        process.wait()
        assert (folder / "my-project/notes.txt").read_text() == NOTES

        done = run_cookiecutter(folder, "-f")

        assert done.returncode == 0, done.stdout + done.stderr
        after = contents(folder / "my-project")
        assert after.pop("notes.txt").decode() == NOTES
        assert after.pop(".env")  # has the number of the folder
        assert after == {name: body for name, body in whole.items() if name != ".env"}


def test_a_folder_that_was_not_there_is_repaired_just_so(tmp_path):
    """A file that was cut off in the middle is written anew."""
    project = generate(tmp_path)
    whole = contents(project.path)
    for name in ("compose.yaml", "docker/Dockerfile"):
        path = project.path / name
        path.write_bytes(path.read_bytes()[:100])
    (project.path / "script.py").unlink()

    done = run_cookiecutter(tmp_path, "-f")

    assert done.returncode == 0, done.stdout + done.stderr
    assert contents(project.path) == whole
