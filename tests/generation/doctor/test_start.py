"""How the doctor is started: in the image, and as a folder of the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.generation.doctor.conftest import BUILD_CHECKS

IN_THE_IMAGE = ["-I", "-B"]


@pytest.mark.parametrize("options", [IN_THE_IMAGE, []], ids=["as in the image", "in the project's folder"])
def test_the_folder_can_be_started(bake, options):
    project = bake()

    done = project.run(sys.executable, *options, "docker/doctor", "--json", "--build", ACCELERATOR="cpu")

    checks = dict.fromkeys(finding["check"] for finding in json.loads(done.stdout))
    assert list(checks) == BUILD_CHECKS


def test_the_environment_of_uv_is_the_one_that_is_checked(bake):
    project = bake()

    done = project.run(
        *(sys.executable, "docker/doctor", "--json"), ACCELERATOR="cpu", UV_PROJECT_ENVIRONMENT=sys.prefix
    )

    python = next(finding for finding in json.loads(done.stdout) if finding["check"] == "python")
    assert (python["status"], python["found"].endswith(f" in {sys.prefix}")) == ("ok", True)


def test_checks_of_the_owner_lie_beside_the_folder(bake):
    project = bake()
    (project.path / "docker/checks.py").write_text(
        "from doctor import ok\ndef check_own(facts):\n    yield ok('x')\n"
    )

    done = project.run(sys.executable, "-B", "docker/doctor", "--json", "--build", ACCELERATOR="cpu")

    assert json.loads(done.stdout)[-1]["check"] == "own"


def test_the_line_ends_of_windows_change_nothing(bake):
    project = bake()
    for file in [*project.path.glob("docker/doctor/*.py"), project.path / "docker/environment.json"]:
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    (project.path / "docker/checks.py").write_bytes(b"def check_own(facts):\r\n    yield from ()\r\n")

    done = project.run(sys.executable, *IN_THE_IMAGE, "docker/doctor", "--json", ACCELERATOR="cpu")

    assert json.loads(done.stdout)[-1]["check"] == "own"


def test_neither_the_current_folder_nor_pythonpath_decides_what_is_imported(bake, tmp_path):
    folder = bake().path / "docker/doctor"
    for name in ("json", "doctor", "checks", "torch", "importlib"):
        (tmp_path / f"{name}.py").write_text(f"open('{tmp_path}/imported', 'a').write('{name} ')")

    done = subprocess.run(
        [sys.executable, *IN_THE_IMAGE, folder, "--build"],
        cwd=tmp_path,
        env={**os.environ, "ACCELERATOR": "cpu", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert "ACCELERATOR=cpu" in done.stdout, done.stderr
    assert not (tmp_path / "imported").exists()
    assert not [*Path(folder).rglob("__pycache__")]


def test_the_image_starts_it_that_way(bake):
    assert f"exec /opt/venv/bin/python3 {' '.join(IN_THE_IMAGE)} /usr/local/lib/doctor/doctor" in bake().read(
        "docker/Dockerfile"
    )
