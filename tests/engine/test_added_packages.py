"""Day two: packages that are added, the lock file of the first build, data, what packages keep below ~."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from engines.engine import private
from engines.gpu_engine import copy_image, programs
from tests.conftest import BakedProject
from tests.support.c_packages import c_package
from tests.support.engine import change_owner
from tests.support.own_engine import own_engine
from tests.support.stand_ins import ON_THE_HOST
from tests.support.workers import image_of

UID = 4321
# The guide's own package, older ones of its family, and one that requires onnxruntime.
GUIDE = ("docaligner-docsaid", "capybara-docsaid<1", "pyturbojpeg<2", "magika")
# Names, versions and the hash of each file, from each RECORD; but the project's own, which has a time in it.
RECORDS = """
cd /opt/venv/lib/python3*/site-packages
grep -rv '[.]pyc,' --include=RECORD . | sort | grep -v ^./capy_test-
"""


@pytest.fixture
def day_two(project: BakedProject, image: str) -> BakedProject:
    """A copy of the built project, owned by somebody, whose builds leave the image of the others alone."""
    compose = project.path / "compose.yaml"
    compose.write_text(compose.read_text().replace("image: capy-test", "image: capy-copy"))
    subprocess.run(["docker", "tag", image, image_of("capy-copy")], check=True)
    change_owner(project.path, UID, UID, image)
    return project


def run(project: BakedProject, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a container of the project."""
    return project.run("docker", "compose", "run", "--rm", "app", *command, **settings)


def build(project: BakedProject) -> str:
    """Build the project's image and return the log; it must work."""
    done = project.run("docker", "compose", "build", "--progress", "plain")
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    return log


# ------------------------------------------------------------------------------ packages


@pytest.mark.nightly
def test_the_guide_s_own_package_is_added_and_built_and_starts_as_anybody(day_two, image):
    """Those packages ask for opencv-python, onnxruntime and onnxruntime-gpu==1.22.0; the line decides."""
    added = run(day_two, "uv", "add", *GUIDE)

    assert added.returncode == 0, added.stderr
    assert "the packages are compatible" in added.stderr
    assert "capybara-docsaid 0.12.0 requires" in added.stderr
    assert "add libturbojpeg0 to docker/apt-packages.txt" in added.stderr

    packages = day_two.path / "docker/apt-packages.txt"
    packages.write_text(packages.read_text() + "libturbojpeg0\n")
    assert "PROBLEM" not in build(day_two)

    names = run(day_two, "uv", "pip", "list", "--format", "freeze").stdout
    of_the_line = [n for n in names.split() if n.startswith(("onnxruntime", "opencv"))]
    assert [name.split("==")[0] for name in of_the_line] == ["onnxruntime", "opencv-python-headless"]
    script = "import docaligner, pathlib; f = pathlib.Path(docaligner.__file__).parent / 'heatmap_reg/ckpt'"
    script += "; f.mkdir(exist_ok=True); (f / 'weights').write_text('x'); docaligner.DocAligner()"
    started = run(day_two, "-c", script)
    # only its weights are missing here, where the network ends
    assert "download" in (started.stdout + started.stderr).lower(), started.stderr
    assert "turbojpeg" not in started.stderr


def test_a_package_for_cuda_in_an_image_without_is_named_and_the_exit_code_says_it(day_two):
    added = run(day_two, "uv", "add", "cupy-cuda12x")

    assert added.returncode == 1
    assert "cupy-cuda12x" in added.stderr.partition("cuda-builds: ")[2]
    assert "ACCELERATOR=cpu" in added.stderr


def test_options_before_the_command_take_no_package_away(day_two):
    """uv alone would remove what the extra of the accelerator brought."""
    done = run(day_two, "sh", "-c", "uv -q sync && uv --no-cache sync && python -c 'import onnxruntime'")

    assert done.returncode == 0, done.stderr


def test_a_package_that_cannot_be_installed_changes_nothing_and_the_build_can(day_two):
    """From source, in C; this image has no compiler, the build has one."""
    assert run(day_two, "true").returncode == 0  # writes uv.lock
    before = [day_two.read(name) for name in ("pyproject.toml", "uv.lock")]

    failed = run(day_two, "uv", "add", "webrtcvad")

    assert failed.returncode != 0
    assert [day_two.read(name) for name in ("pyproject.toml", "uv.lock")] == before
    assert "uv add --no-sync NAME, then docker compose build" in failed.stderr

    assert run(day_two, "uv", "add", "--no-sync", "webrtcvad").returncode == 0
    build(day_two)
    assert run(day_two, "-c", "import _webrtcvad").returncode == 0
    assert run(day_two, "sh", "-c", "command -v cc || command -v git").returncode != 0


def test_packages_from_git_and_from_a_folder_of_the_project_are_in_the_build(day_two, git_server, uv):
    """Both in C. They are added in the dev container, which has git and a compiler, as this machine has."""
    c_package(day_two.path / "libs/fromfolder", "fromfolder")
    (day_two.path / "compose.override.yaml").write_text(ON_THE_HOST)
    uv(day_two, "add", "--no-sync", f"git+{git_server}")
    uv(day_two, "add", "--no-sync", "--no-workspace", "./libs/fromfolder")

    build(day_two)

    done = run(day_two, "-c", "import fromgit, fromfolder")
    assert done.returncode == 0, done.stderr


def test_a_folder_without_a_lock_file_is_told_what_to_do(day_two, uv):
    c_package(day_two.path / "libs/fromfolder", "fromfolder")
    uv(day_two, "add", "--no-sync", "--editable", "./libs/fromfolder")
    (day_two.path / "uv.lock").unlink()

    done = day_two.run("docker", "compose", "build", "--progress", "plain")

    assert done.returncode != 0
    assert "a package in a folder of this project needs uv.lock" in done.stdout + done.stderr


# ------------------------------------------------------------------------------ the lock file


def test_the_first_run_writes_the_lock_file_of_the_build_as_the_owner(day_two):
    first = run(day_two, "cat", "/opt/uv.lock")
    lock = day_two.path / "uv.lock"
    lines = [line for line in first.stderr.splitlines() if "entrypoint: " in line]

    assert (lock.stat().st_uid, lock.stat().st_gid) == (UID, UID)
    assert lock.read_text() == first.stdout
    assert lines == [
        "entrypoint: wrote uv.lock, the versions in this image; commit it, so that every machine uses them"
    ]

    lock.write_text("mine")
    again = run(day_two, "true")
    assert (lock.read_text(), "uv.lock" in again.stderr) == ("mine", False)
    assert not list(day_two.path.glob(".uv.lock*"))


def test_many_first_runs_at_once_write_one_lock_file(day_two):
    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(lambda _: run(day_two, "true"), range(6)))

    assert [done.returncode for done in runs] == [0] * 6
    assert sum("wrote uv.lock" in done.stderr for done in runs) == 1
    assert not list(day_two.path.glob(".uv.lock*"))


@pytest.mark.parametrize("why", ["the folder is read-only", "pyproject.toml is another one", "elsewhere"])
def test_no_lock_file_is_written_where_it_would_be_wrong(day_two, docker, image, why):
    options = {"volumes": [(day_two.path, "/code", "ro")]} if "read-only" in why else {}
    if "another" in why:
        path = day_two.path / "pyproject.toml"
        path.write_text(path.read_text() + "# changed\n")
        options = {"volumes": [(day_two.path, "/code")]}

    output = docker.run(image, ["sh", "-c", "cmp -s uv.lock /opt/uv.lock; echo $?"], remove=True, **options)

    assert output == ("0" if why == "elsewhere" else "2")  # the image's own copy has it already
    assert not (day_two.path / "uv.lock").exists()


@pytest.mark.nightly
def test_a_second_machine_installs_the_same_files(day_two, base, engine, docker, image, pytestconfig):
    """Another engine, without a cache: what goes over is the project with its lock file."""
    assert run(day_two, "true").returncode == 0
    (day_two.path / "compose.override.yaml").write_text(ON_THE_HOST)
    with own_engine("second", pytestconfig) as (daemon, there):
        other = private(daemon, programs()[1])
        copy_image(base.name, engine, other)
        done = day_two.run("docker", "compose", "build", "--progress", "plain", **there)
        assert done.returncode == 0, done.stderr
        command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh"]
        second = day_two.run(*command, image_of("capy-copy"), "-c", RECORDS, **there)
    first = docker.run(image, ["-c", RECORDS], entrypoint="sh", remove=True)

    assert first.strip() == second.stdout.strip(), second.stderr


def test_a_build_with_the_lock_file_has_the_same_files(day_two, docker, image):
    assert run(day_two, "true").returncode == 0
    with (day_two.path / "pyproject.toml").open("a") as file:
        file.write(f"# {time.time_ns()}: the packages are installed anew\n")
    assert "no uv.lock" not in build(day_two)

    first, second = (
        docker.run(name, ["-c", RECORDS], entrypoint="sh", remove=True)
        for name in (image, image_of("capy-copy"))
    )
    assert "onnxruntime" in first
    assert first == second


# ------------------------------------------------------------------------------ data, and what packages keep


def test_data_outside_of_the_project_is_there_to_be_read(day_two, open_folder):
    (open_folder / "picture").write_text("of a cat")
    look = "ls -d /data/ 2>/dev/null; cat /data/picture; touch /data/x"

    with_data = run(day_two, "sh", "-c", look, DATA_DIR=str(open_folder))
    without = run(day_two, "sh", "-c", look)
    typo = run(day_two, "true", DATA_DIR=str(open_folder / "typo"))

    assert with_data.stdout == "/data/\nof a cat"
    assert "Read-only file system" in with_data.stderr
    assert without.stdout == ""
    assert typo.returncode != 0
    assert "typo" in typo.stderr
    assert not (open_folder / "typo").exists()


def test_what_a_package_keeps_below_the_home_folder_outlives_the_container(day_two):
    """Whatever its name: no list of packages decides."""
    write = "mkdir -p ~/.some-package && echo weights > ~/.some-package/file"
    write += "; echo $HOME $TORCHINDUCTOR_CACHE_DIR"
    home, compiled = run(day_two, "sh", "-c", write).stdout.split()

    again = run(
        day_two, "-c", "import pathlib; print((pathlib.Path.home() / '.some-package/file').read_text())"
    )

    assert home == f"/cache/home-{UID}"
    assert compiled.startswith(f"{home}/")
    assert again.stdout.strip() == "weights"
    kept = day_two.path / f".cache/home-{UID}"
    assert (kept.stat().st_uid, kept.stat().st_mode & 0o777) == (UID, 0o700)


def test_a_home_folder_that_is_another_user_s_is_not_used(day_two, image, tmp_path):
    """In a cache that users share, one could prepare code for another."""
    shared = tmp_path / "shared"
    (shared / f"home-{UID}").mkdir(parents=True)
    for folder in (shared, shared / f"home-{UID}"):
        folder.chmod(0o777)
    change_owner(shared, 999, 999, image)

    home = run(day_two, "printenv", "HOME", CACHE_DIR=str(shared))

    change_owner(shared, os.getuid(), os.getgid(), image)
    assert home.stdout.strip() == "/home/app"
