"""Generation that is ended at any moment: a second run with -f makes it whole, and keeps what is yours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, generate, run_cookiecutter
from tests.generation.conftest import contents

NOTES = "my own notes\n"
# The files that are there when the run is ended.
EARLY_TO_LATE = [[1, 20, 60], pytest.param(range(1, 64, 3), marks=pytest.mark.nightly)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
@pytest.mark.parametrize("files", EARLY_TO_LATE)
def test_a_second_run_repairs_what_an_interrupted_one_left(tmp_path, number, files):
    whole = contents(generate(tmp_path / "whole").path)
    for count in files:
        folder = tmp_path / str(count)
        (folder / "my-project").mkdir(parents=True)
        (folder / "my-project/notes.txt").write_text(NOTES)

        process = subprocess.Popen(
            [sys.executable, "-m", "cookiecutter", "--no-input", "-f", str(TEMPLATE)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and len(written(folder)) < count:
            time.sleep(0.002)
        process.send_signal(number)
        assert process.wait() != 0
        assert count <= len(written(folder)) < len(written(tmp_path / "whole")), (
            "it was not interrupted while it wrote"
        )
        assert (folder / "my-project/notes.txt").read_text() == NOTES

        done = run_cookiecutter(folder, "-f")

        assert done.returncode == 0, done.stdout + done.stderr
        after = contents(folder / "my-project")
        assert after.pop("notes.txt").decode() == NOTES
        assert after.pop(".env")  # has the number of the folder
        assert after == {name: body for name, body in whole.items() if name != ".env"}


def written(folder: Path) -> list[str]:
    """Return the files that a run has made in a folder, up to now."""
    return [name for _, _, names in os.walk(folder / "my-project") for name in names if name != "notes.txt"]


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
