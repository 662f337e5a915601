"""docs/hosts.md, "Start it from a supervisor": one signal to one process stops the script, which saves."""

from __future__ import annotations

import os
import subprocess

from tests.support.supervised import end, start, write_script


def containers(project) -> list[str]:
    """Return the containers of a project that run, and those that stopped."""
    done = project.run("docker", "compose", "ps", "--all", "--quiet")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_signal_reaches_the_script_whose_exit_code_comes_back(project):
    process = start(project.path, os.environ)
    try:
        process.terminate()
        _, said = process.communicate(timeout=40)
    finally:
        end(process)

    assert process.returncode == 42, said
    assert (project.path / "outputs/saved").read_text() == "x", "the signal arrived twice"
    assert containers(project) == []


def test_without_a_signal_output_and_exit_code_come_back(project):
    script = write_script(project.path)
    (project.path / "script.py").write_text("import sys\nprint('epoch 1')\nsys.exit(7)\n")

    done = subprocess.run(["sh", script], cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL)

    assert (done.returncode, done.stdout) == (7, "epoch 1\n"), done.stderr
    assert containers(project) == []
