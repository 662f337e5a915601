"""What goes wrong in the middle: after it, no file of root's in the project, and a second run works."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engines import engine as engines
from engines.daemon import Daemon
from engines.gpu_engine import copy_image, programs
from engines.steps import EngineError, locked
from tests.conftest import BakedProject
from tests.support.engine import change_owner, give_up
from tests.support.index_server import write_wheel
from tests.support.light_project import empty
from tests.support.own_engine import own_engine
from tests.support.waiting import within
from tests.support.workers import CHECKOUT

OWNER = (1234, 5678)
APP = ("docker", "compose", "run", "--rm", "app")
WAITS = """
import pathlib, time
pathlib.Path('half').write_text('x')
print('up', flush=True)
time.sleep(60)
"""


@pytest.fixture
def mine(project: BakedProject, image) -> BakedProject:
    """A project of an ordinary user."""
    change_owner(project.path, *OWNER, image)
    return project


@pytest.fixture
def light_mine(light: BakedProject, light_image, tmp_path: Path) -> BakedProject:
    """The same without packages, for engines that get a copy of the image."""
    project = BakedProject(Path(shutil.copytree(light.path, tmp_path / light.path.name)))
    change_owner(project.path, *OWNER, light_image)
    return project


def strangers(project: BakedProject) -> list[str]:
    """Return the files of the project that are not its owner's."""
    paths = [project.path, *project.path.rglob("*")]
    return [str(path) for path in paths if (path.lstat().st_uid, path.lstat().st_gid) != OWNER]


def assert_it_works(project: BakedProject, **environment: str) -> None:
    """A run after the fault works, and nothing in the project is anybody else's."""
    done = project.run(*APP, "script.py", **environment)
    assert done.returncode == 0, done.stderr
    assert strangers(project) == []


@contextmanager
def begun(project: BakedProject, *command: str, until: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Start a command, wait until it has said something, and lend the process."""
    process = subprocess.Popen(
        command,
        cwd=project.path,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        for line in process.stdout:
            if until in line:
                break
        else:
            pytest.fail(f"{command} ended without {until!r}")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def tiny(folder: Path, megabytes: int, config: pytest.Config) -> Iterator[None]:
    """Mount a small file system at a folder."""
    if os.getuid() != 0:
        give_up(config, "NOT ROOT: only root can mount a file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def restart(daemon: Daemon) -> None:
    """Start a stopped dockerd again."""
    with locked():
        daemon.start(programs()[0])


@pytest.mark.nightly
def test_an_engine_that_stops_in_the_middle_of_a_run_and_of_a_build(
    engine, base, light_image, light_mine, pytestconfig
):
    mine = light_mine
    with own_engine("faulttest", pytestconfig) as (daemon, there):
        other = engines.private(daemon, programs()[1])
        copy_image(light_image, engine, other)
        copy_image(base.name, engine, other)

        with begun(mine, *APP, "-c", WAITS, until="up", **there) as run:
            daemon.stop()
            rest = run.stdout.read()
            assert run.wait(timeout=60) != 0, rest
        restart(daemon)
        assert (mine.path / "half").exists()
        assert_it_works(mine, **there)

        build = ("docker", "compose", "build", "--no-cache", "--progress", "plain")
        with begun(mine, *build, until="apt-get", **there) as run:
            daemon.stop()
            rest = run.stdout.read()
            assert run.wait(timeout=60) != 0, rest
        restart(daemon)
        assert_it_works(mine, **there)  # with the image of before


def test_a_full_disk_below_the_project_is_said_in_one_line(built, image, tmp_path, pytestconfig):
    folder = tmp_path / "code"
    folder.mkdir()
    with tiny(folder, 3, pytestconfig):
        project = BakedProject(Path(shutil.copytree(built.path, folder / "capy-test")))
        change_owner(folder, *OWNER, image)
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(b"x" * 4096)

        full = project.run(*APP, "script.py")

        assert full.returncode == 1
        assert "No space left on device" in full.stderr.strip().splitlines()[-1]
        assert "Traceback" not in full.stderr
        filler.unlink()
        assert_it_works(project)


def test_a_full_cache_is_found_by_the_doctor_and_stops_no_script(mine, tmp_path, pytestconfig):
    cache = tmp_path / "cache"
    cache.mkdir()
    with tiny(cache, 1, pytestconfig):
        os.chown(cache, *OWNER)
        with contextlib.suppress(OSError):
            (cache / "filler").write_bytes(b"x" * 2**21)

        found = mine.run(*APP, "doctor", CACHE_DIR=str(cache))

        assert found.returncode == 1
        assert "/cache" in found.stdout and "free space on the disk" in found.stdout, found.stdout
        assert_it_works(mine, CACHE_DIR=str(cache))


@pytest.mark.nightly
def test_a_full_disk_below_the_engine_is_the_engine_s_own_line(
    engine, light_image, light_mine, tmp_path, pytestconfig
):
    """In `make test` the disk below the project is full, above; what is said here is the engine's."""
    data = tmp_path / "data"
    data.mkdir()
    with (
        tiny(data, 100, pytestconfig),
        own_engine("fulltest", pytestconfig, data / "engine") as (daemon, there),
    ):
        other = engines.private(daemon, programs()[1])
        with pytest.raises(EngineError):
            copy_image(light_image, engine, other)
        refused = light_mine.run(*APP, "script.py", **there)
        assert refused.returncode != 0
        assert strangers(light_mine) == []

        subprocess.run(["mount", "-o", "remount,size=3g", str(data)], check=True)
        copy_image(light_image, engine, other)
        assert_it_works(light_mine, **there)


class Dying(BaseHTTPRequestHandler):
    """An index that sends half of a wheel and hangs up, until it is told to be well."""

    wheel = b""
    name = ""
    ill = True

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer with the listing or the wheel."""
        if self.path.endswith(".whl"):
            body = self.wheel
        else:
            body = f'<a href="/{self.name}">{self.name}</a>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = self.ill and self.path.endswith(".whl")
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if half else body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.nightly
def test_an_index_that_dies_in_the_middle_of_a_download(bake, base, image, tmp_path):
    write_wheel(tmp_path, "half-package", "1.0")
    wheel = next(tmp_path.glob("*.whl"))
    handler = type("Handler", (Dying,), {"wheel": wheel.read_bytes(), "name": wheel.name})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/simple"
        project = empty(bake(project="capy-copy", private_index=url, private_packages="half-package"))
        change_owner(project.path, *OWNER, image)

        failed = project.run("docker", "compose", "build", "--progress", "plain")

        assert failed.returncode != 0
        assert re.search("half[-_]package", failed.stdout), failed.stdout[-2000:]
        assert strangers(project) == []
        handler.ill = False
        built = project.run("docker", "compose", "build", "--progress", "plain")
        assert built.returncode == 0, built.stderr[-2000:]
        server.shutdown()


@pytest.mark.nightly
@pytest.mark.parametrize("year", [1980, 2037], ids=["the clock was far ahead", "the clock was far behind"])
def test_files_of_another_time_disturb_nothing(mine, year):
    """After a jump of the clock everything in the project is of the far past, or of the future."""
    moment = time.mktime((year, 1, 1, 0, 0, 0, 0, 0, 0))
    for path in mine.path.rglob("*"):
        os.utime(path, (moment, moment), follow_symlinks=False)

    assert_it_works(mine)
    done = mine.run(*APP, "pytest", "-q")
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def at_a_terminal(project: BakedProject, *command: str, until: str) -> Iterator[Typed]:
    """Start a command at a terminal of its own, wait until it has said something, and lend both."""
    terminal, inside = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), inside)
    process = subprocess.Popen(command, cwd=project.path, start_new_session=True, **streams)
    os.close(inside)
    try:
        said = b""
        while until.encode() not in said:
            said += os.read(terminal, 4096)  # OSError at its end
        yield Typed(process, terminal)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@dataclass(frozen=True)
class Typed:
    """A command at a terminal."""

    process: subprocess.Popen
    terminal: int

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C, if the command still runs."""
        with contextlib.suppress(OSError):
            os.write(self.terminal, b"\x03")


@pytest.mark.parametrize("ignored", [False, True], ids=["a script", "a script that ignores it"])
def test_ctrl_c_twice_leaves_no_container_and_no_file_of_root_s(mine, docker, ignored):
    """What goes on after both is ended as its page says."""
    note = "import signal\nsignal.signal(signal.SIGINT, lambda *_: open('half', 'a').write('y'))"
    label = ("label", f"com.docker.compose.project=capy-test{CHECKOUT}")

    def noticed(times: int) -> bool:
        if ignored:
            return mine.read("half") == "x" + times * "y"
        return docker.container.list(filters=[label]) == []

    with at_a_terminal(mine, *APP, "-c", (note if ignored else "") + WAITS, until="up") as typed:
        for times in (1, 2):
            typed.press_ctrl_c()
            assert within(20, lambda times=times: noticed(times))
        if ignored:
            assert len(docker.container.list(filters=[label])) == 1
            down = mine.run("docker", "compose", "down", "--remove-orphans", "--timeout", "1")
            assert down.returncode == 0, down.stderr
        code = typed.process.wait(timeout=60)

    assert code != 0
    # the engine removes it, after Compose has ended
    assert within(20, lambda: docker.container.list(all=True, filters=[label]) == [])
    assert_it_works(mine)
