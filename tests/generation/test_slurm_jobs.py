"""The job files for Slurm, docker/slurm.sh and the one of docs/slurm.md, with a stand-in for Apptainer."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, BakedProject
from tests.generation.conftest import COMBINATIONS, sentence

# Prints its arguments and the container's variables; `wait` as the last argument: until SIGTERM.
APPTAINER = """#!/bin/sh
for last in "$@"; do printf 'argument %s\\n' "$last"; done
[ -z "$APPTAINERENV_TMPDIR" ] || { export TMPDIR="$APPTAINERENV_TMPDIR"; unset APPTAINERENV_TMPDIR; }
env | sed 's/^/variable /'
[ "$last" = wait ] || exit 0
trap 'echo saved; exit 143' TERM
echo waiting
while :; do sleep 0.1; done
"""
# Of a login shell on a cluster.
LEAKS = {name: "/host" for name in ("PYTHONPATH", "PYTHONHOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")}
LEAKS |= {"CURL_CA_BUNDLE": "/host", "RAY_ADDRESS": "10.0.0.9:6379"}
LEAKS |= {"TMPDIR": "/host", "RAY_TMPDIR": "/host"}


@pytest.fixture(scope="module")
def project(projects) -> BakedProject:
    """A project with docker/slurm.sh. Do not change it."""
    return projects[sentence({**COMBINATIONS[0], "scale_out": "ray"})]


@pytest.fixture
def programs(tmp_path) -> str:
    """A PATH with the stand-in in it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/apptainer").write_text(APPTAINER)
    (tmp_path / "bin/apptainer").chmod(0o755)
    return f"{tmp_path / 'bin'}:{os.environ['PATH']}"


@pytest.fixture(params=["docker/slurm.sh", "docs/slurm.md"])
def job(request, project, tmp_path) -> Path:
    """A job file: of a project with Ray, and what the template's page says to write for all others."""
    if request.param == "docker/slurm.sh":
        return project.path / request.param
    path = tmp_path / "job.sh"
    path.write_text(
        re.search(r"(?ms)^```sh\n(#!/bin/bash\n.*?)^```", (TEMPLATE / request.param).read_text())[1]
    )
    return path


def start(job: Path, folder: Path, programs: str, *arguments: str, **own: str) -> subprocess.Popen[str]:
    """Start a job file as Slurm does, in a folder, with settings of its own."""
    settings = {**os.environ, **LEAKS, "PATH": programs, "SLURM_JOB_ID": "7", **own}
    command = ["bash", job, *arguments]
    return subprocess.Popen(command, cwd=folder, env=settings, stdout=subprocess.PIPE, text=True)


def test_a_job_gets_its_arguments_as_they_are_and_no_setting_of_the_host_s_python(
    job, project, programs, tmp_path
):
    process = start(job, tmp_path, programs, "script.py", "a picture $5.png")

    printed, _ = process.communicate(timeout=20)

    arguments = re.findall(r"(?m)^argument (.*)$", printed)
    variables = dict(re.findall(r"(?m)^variable (\w+)=(.*)$", printed))
    assert process.returncode == 0
    assert arguments[:3] == ["run", "--nv", "--no-eval"]
    assert arguments[-3].endswith(".sif")
    assert arguments[-2:] == ["script.py", "a picture $5.png"]
    assert {f"{tmp_path}:/code", f"{tmp_path}/.cache:/cache"} <= set(arguments)
    assert "PYTHONNOUSERSITE" in variables
    assert variables["TMPDIR"] == "/tmp"
    assert not set(LEAKS) & set(variables) - {"TMPDIR"}


@pytest.mark.parametrize(
    ("folder", "bound"), [("/mnt/my data", ["--bind", "/mnt/my data:/data:ro"]), ("", ["--pwd", "/code"])]
)
def test_the_data_folder_of_the_shell_is_read_only_at_data(project, programs, tmp_path, folder, bound):
    process = start(project.path / "docker/slurm.sh", tmp_path, programs, "script.py", DATA_DIR=folder)

    printed, _ = process.communicate(timeout=20)

    arguments = re.findall(r"(?m)^argument (.*)$", printed)
    assert arguments[-4:-2] == bound


def test_a_time_limit_reaches_the_script_which_saves(job, programs, tmp_path):
    """Slurm signals the job's shell alone."""
    process = start(job, tmp_path, programs, "wait")
    while process.stdout.readline() != "waiting\n":
        assert process.poll() is None

    process.terminate()
    printed, _ = process.communicate(timeout=20)

    assert (printed, process.returncode) == ("saved\n", 143)
    assert re.search(r"(?m)^#SBATCH .*--signal=B:TERM@60$", job.read_text())


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_job_file_without_slurm_says_how_to_start_it(project, programs, shell):
    settings = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}

    done = subprocess.run(
        [shell, "docker/slurm.sh", "train.py", "--epochs", "9"],
        cwd=project.path,
        env={**settings, "PATH": programs},
        capture_output=True,
        text=True,
    )

    why = "slurm: this is a Slurm job. Start it with: sbatch docker/slurm.sh train.py --epochs 9\n"
    assert (done.returncode, done.stdout, done.stderr) == (64, "", why)
