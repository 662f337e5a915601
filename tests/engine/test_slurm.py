"""docs/slurm.md of a generated project, and the template's own, word for word, as an ordinary user.

With Apptainer and Charliecloud. The cluster has one node, GPUs in name only, and no network.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engines.slurm import HOME, UID, Cluster, slurm_cluster
from engines.steps import EngineError
from tests.conftest import TEMPLATE, BakedProject, generate
from tests.support.engine import give_up
from tests.support.stand_ins import lock
from tests.support.workers import report

pytestmark = pytest.mark.nightly

PROJECT = "capy-env-full"  # with the answers of test_ray.py: one build for both


@dataclass(frozen=True)
class Login:
    """A user's login on the cluster, in the folder of the project."""

    cluster: Cluster
    blocks: list[str]
    project: str = PROJECT

    @property
    def folder(self) -> Path:
        """Return the folder of the project, as seen from outside."""
        return self.cluster.home / self.project

    def block(self, word: str) -> str:
        """Return the one block of commands in the page that has a word."""
        [found] = [block for block in self.blocks if word in block]
        return found

    def run(self, command: str) -> str:
        """Run shell commands; return what they print."""
        done = self.cluster.run(command, f"{HOME}/{self.project}")
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, command: str) -> str:
        """Run commands of which the last is an sbatch; return the number of the job."""
        return re.findall(r"Submitted batch job (\d+)", self.run(command))[-1]

    def show(self, job: str) -> list[dict[str, str]]:
        """Return the fields of a job, or of each task of an array."""
        lines = self.run(f"scontrol --oneliner show job {job}").splitlines()
        return [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in lines]

    def log(self, job: str) -> str:
        """Return what a job has written, empty before it begins."""
        path = self.folder / f"slurm-{job}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def finish(self, job: str, seconds: float = 300) -> tuple[set[str], str]:
        """Wait for the end of a job and of all its tasks; return their exit codes and the log."""

        def over() -> bool:
            return not {found["JobState"] for found in self.show(job)} & {"PENDING", "RUNNING", "COMPLETING"}

        wait_until(over, seconds, lambda: f"{self.show(job)}\n{self.log(job)}")
        return {found["ExitCode"] for found in self.show(job)}, self.log(job)


def wait_until(true: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
    """Wait until `true` is; fail after `seconds` with what there is to say."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def project(base, pytorch, tmp_path_factory) -> Iterator[BakedProject]:
    """A project with Ray, PyTorch and ONNX Runtime, and its image."""
    folder = tmp_path_factory.mktemp("slurm")
    project = generate(folder, project=PROJECT, environment="full", scale_out="ray-and-kubernetes")
    pytorch.use_in(project)
    lock(project)
    (project.path / ".env").write_text("ACCELERATOR=cpu\n")
    done = project.run("docker", "compose", "build", "app")
    assert done.returncode == 0, done.stderr
    yield project
    project.run("docker", "compose", "down", "--rmi", "local")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster(pytestconfig) -> Iterator[Cluster]:
    """A cluster with the empty home folder of a user."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(slurm_cluster())
        except EngineError as error:
            give_up(pytestconfig, f"NO SLURM: {error}")
        yield found


@pytest.fixture(scope="module")
def login(cluster, project, pytestconfig) -> Login:
    """The cluster, with the image that the page's commands make there."""
    page = project.read("docs/slurm.md")
    login = Login(cluster, re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    for word in ("docker save", "docker export"):
        done = project.run("sh", "-euc", login.block(word))
        assert done.returncode == 0, done.stderr
    shutil.copytree(project.path, login.folder, symlinks=True)
    shutil.rmtree(project.path / ".cache")
    subprocess.run(["chown", "-R", f"{UID}:{UID}", login.folder], check=True)
    begin = time.monotonic()
    login.run(login.block("apptainer build"))
    report(pytestconfig, f"slurm: the image file for Apptainer in {time.monotonic() - begin:.0f} s")
    (login.folder / ".cache/image.tar").unlink()
    return login


def owners(folder: Path) -> set[tuple[int, int]]:
    """Return whose a folder and all in it are."""
    return {(path.stat().st_uid, path.stat().st_gid) for path in [folder, *folder.rglob("*")]}


def test_a_job_runs_the_script_and_its_output_is_the_user_s(login):
    codes, log = login.finish(login.submit(login.block("slurm.sh script.py").splitlines()[0]))

    assert codes == {"0:0"}, log
    assert "provider  CPUExecutionProvider" in log
    assert "tini" not in log.lower()
    assert {path.name for path in (login.folder / "outputs").iterdir()} == {
        f"digits.{end}" for end in ("pt", "png", "onnx")
    }
    assert owners(login.folder / "outputs") == {(UID, UID)}


def test_the_doctor_names_what_is_read_only_and_apptainer_s_option(login):
    _, log = login.finish(login.submit(login.block("slurm.sh doctor")))

    assert not [line for line in log.splitlines() if line.startswith("PROBLEM")], log
    (remark,) = [line for line in log.splitlines() if line.startswith("remark   folders")]
    assert "/opt/venv/lib" in remark
    assert "apptainer run --writable-tmpfs" in remark


def test_a_job_gets_its_arguments_and_its_gpu_and_nothing_of_the_host_s_python(login):
    shown = "import os, sys; print([os.environ.get(n) for n in sys.argv[1:5]], sys.argv[5:])"
    names = "PYTHONPATH PYTHONNOUSERSITE CUDA_VISIBLE_DEVICES TMPDIR"
    command = f"sbatch docker/slurm.sh -c '{shown}' {names} 'a picture $5.png' %A-%a"

    job = login.submit(f"mkdir -p $HOME/tmp; export PYTHONPATH=$HOME/lib TMPDIR=$HOME/tmp; {command}")

    codes, log = login.finish(job)
    assert codes == {"0:0"}, log
    assert log.splitlines()[-1] == f"[None, '1', '0', '/tmp'] ['a picture $5.png', '{job}-0']"


def test_an_array_reads_each_picture_once(login):
    job = login.submit(login.block("--array"))
    codes, _ = login.finish(job, 600)

    result = login.folder / f"outputs/predictions-{job}"
    logs = "".join(path.read_text() for path in login.folder.glob(f"slurm-{job}_*.out"))
    assert codes == {"0:0"}, logs
    assert {path.name for path in result.iterdir()} == {"0", "1", "2", "3"}
    lines = [int(number) for number in re.findall(r"result +(\d+) lines", logs)]
    assert (len(lines), sum(lines)) == (4, 1797)
    assert owners(result) == {(UID, UID)}
    folder = login.cluster.home / ".ray"
    assert folder.stat().st_mode & 0o077 == 0  # the token is in it


def test_a_time_limit_saves_and_requeues_and_a_stop_ends_clean(login):
    """With a limit of some minutes: the signal comes two before it."""
    began = re.compile(r"starts after epoch (\d+)")
    job = login.submit(f"export SBATCH_TIMELIMIT=5\n{login.block('train.py')}")
    wait_until(lambda: login.show(job)[0]["Restarts"] == "1", 420, lambda: login.log(job))
    first = login.log(job)
    printed = re.findall(r"epoch +(\d+)  loss", first)
    wait_until(lambda: login.show(job)[0]["JobState"] == "PENDING", 60, lambda: login.log(job))
    login.run(f"scontrol update jobid={job} StartTime=now")  # Slurm waits two minutes by itself

    wait_until(lambda: len(began.findall(login.log(job))) > 1, 240, lambda: login.log(job))
    login.run(login.block("scancel").replace("JOB", job))
    codes, log = login.finish(job)

    assert "train.py: stopped; the same command continues" in first
    assert int(began.findall(log)[1]) - int(printed[-1]) in (0, 1)
    assert codes == {"143:0"}
    assert "Bus error" not in log


def test_the_cache_and_the_image_may_lie_on_scratch(login):
    """The last one with the image: it is moved there."""
    setting = "export SCRATCH=$HOME/scratch\n" + login.block("SCRATCH")
    asked = "import pathlib; pathlib.Path('/cache/weights').touch()"

    codes, log = login.finish(login.submit(f'{setting}\nsbatch docker/slurm.sh -c "{asked}"'))

    assert codes == {"0:0"}, log
    assert (login.cluster.home / f"scratch/{PROJECT}/weights").stat().st_uid == UID


def test_charliecloud_runs_the_same_image(login):
    shutil.rmtree(login.folder / "outputs", ignore_errors=True)

    printed = login.run(login.block("ch-run"))

    assert "provider  CPUExecutionProvider" in printed
    assert owners(login.folder / "outputs") == {(UID, UID)}


def test_the_lines_of_the_template_s_own_page_run_as_they_are_typed(cluster, built):
    """For a project without Slurm's files: the default answers."""
    page = (TEMPLATE / "docs/slurm.md").read_text()
    images, job, submit = re.findall(r"(?ms)^```sh\n(.*?)^```", page)
    save, build = images.splitlines()
    (execute,) = re.findall(r"`(apptainer exec [^`]+)`", page)[-1:]
    folder = cluster.home / "my-project"
    shutil.copytree(built.path, folder, symlinks=True)
    login = Login(cluster, [], folder.name)

    (folder / "job.sh").write_text(job)

    done = BakedProject(folder).run("sh", "-euc", save)
    subprocess.run(["chown", "-R", f"{UID}:{UID}", folder], check=True)
    login.run(build)
    (folder / ".cache/image.tar").unlink()

    assert done.returncode == 0, done.stderr
    codes, log = login.finish(login.submit(submit))
    assert codes == {"0:0"}, log
    for run in (lambda: log, lambda: login.run(execute)):
        (result,) = re.findall(r"outputs/[\w.-]+", run())
        assert (folder / result).stat().st_uid == UID
        shutil.rmtree(folder / "outputs")

    shown = "import os, sys, time; print([os.environ.get(sys.argv[1])], sys.argv[2:], flush=True)"
    arguments = f"-c '{shown}; time.sleep(99)' PYTHONPATH 'a picture $5.png'"
    waiting = login.submit(f"export PYTHONPATH=$HOME/lib; {submit.replace('script.py', arguments)}")
    wait_until(lambda: "a picture" in login.log(waiting), 60, lambda: login.log(waiting))
    login.run(f"scancel --batch --signal=TERM {waiting}")
    codes, log = login.finish(waiting)
    assert codes == {"143:0"}, log
    assert "[None] ['a picture $5.png']" in log
    assert "Bus error" not in log
