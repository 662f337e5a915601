"""The private engine of engines/: it comes up, survives accidents, goes away, says what fails."""

import os
import signal
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines import debian, engine, gpu_engine
from engines.daemon import Daemon
from engines.steps import EngineError, locked
from tests.support.engine import give_up
from tests.support.waiting import ends

HOOK = Path(__file__).parent.parent / "support" / "nvidia-container-runtime-hook"


@pytest.fixture
def debian_and_root(pytestconfig: pytest.Config) -> None:
    """Give up where no private engine can be started at all."""
    try:
        engine.refuse_unless_debian_and_root()
    except EngineError as error:
        give_up(pytestconfig, f"NO PRIVATE ENGINE: {error}")


@pytest.fixture
def daemon(debian_and_root: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """Stand in for the session's private engine with one that the test may break."""
    second = gpu_engine.second_daemon("tooltest")
    gpu_engine.stop_gpu_engine("tooltest")
    with locked():  # two workers must not take the same address
        gpu_engine.make_bridge(second.bridge)
    monkeypatch.setattr(engine, "PRIVATE", second)
    monkeypatch.setenv("DOCKER_HOST", second.url)  # so the machine's own engine is not asked
    yield second
    gpu_engine.stop_gpu_engine("tooltest")


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Take the docker command away; return the folder to put a fake one in."""
    monkeypatch.setattr(engine, "PRIVATE", Daemon("tooltest"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path


def fake_docker(folder: Path, compose: str) -> None:
    """Put a docker into `folder` whose engine answers; `compose`: its `docker compose version`."""
    docker = folder / "docker"
    docker.write_text(f"#!/bin/sh\ncase $1 in version) echo 28.5.2;; compose) {compose};; esac\n")
    docker.chmod(0o755)


@pytest.mark.parametrize(
    ("version", "is_used"),
    [
        ("Docker version 28.2.2, build e6534b4", True),
        ("Docker version 29.0.0, build 3d4129b", True),
        ("Docker version 20.10.24+dfsg1, build 297e128", False),
        ("podman version 5.8.3", False),
        ("", False),
    ],
    ids=["recent", "newer", "old", "Podman's docker", "not running"],
)
def test_a_recent_docker_of_this_machine_is_used(no_engine, version, is_used):
    program = no_engine / "docker"
    program.write_text(f"#!/bin/sh\necho '{version}'\n" if version else "#!/missing\n")
    program.chmod(0o755)
    tree = debian.Tree(no_engine / "tree")
    sids = tree.root / "client/bin"

    path = tree.client()["PATH"]

    assert path == (f"{no_engine}" if is_used else f"{sids}:{no_engine}")


def test_without_a_docker_on_this_machine_sid_s_is_used(no_engine, monkeypatch):
    tree = debian.Tree(no_engine / "tree")
    monkeypatch.setenv("PATH", f"{tree.root / 'client/bin'}:{no_engine}")  # as after `engine env`

    assert tree.client()["PATH"] == f"{tree.root / 'client/bin'}:{no_engine}"


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line on stderr, which is all that the reader of an error gets."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def start_container(on: engine.Engine, *options: str) -> str:
    """Start a container that sleeps, from an image of three files, and return its id."""
    libraries = subprocess.run(["ldd", "/bin/sleep"], capture_output=True, text=True, check=True).stdout
    archive = Path(on.env["DOCKER_CONFIG"]).parent / "sleep.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for path in ["/bin/sleep", *(word for word in libraries.split() if word.startswith("/"))]:
            tar.add(path)
    on.docker("import", archive, "sleep")
    archive.unlink()
    return on.docker("run", "--detach", "--stop-signal=KILL", *options, "sleep", "/bin/sleep", "600")


def kill_dockerd(daemon: Daemon) -> None:
    os.kill(daemon.pid(), signal.SIGKILL)
    while daemon.pid():
        pass


def test_up_twice_is_one_engine(daemon):
    engine.up()
    first = daemon.pid()

    engine.up()

    assert daemon.pid() == first


def test_two_ups_at_once_start_one_engine(daemon):
    ups = [threading.Thread(target=engine.up) for _ in range(2)]

    for up in ups:
        up.start()
    for up in ups:
        up.join()

    assert list(daemon.processes().values()).count("dockerd") == 1
    assert "private" in engine.running().description


def test_up_recovers_after_dockerd_was_killed(daemon):
    container = start_container(engine.find_or_start())
    kill_dockerd(daemon)
    assert daemon.processes(), "containerd is expected to survive its dockerd"

    recovered = engine.find_or_start()

    assert recovered.docker("inspect", "--format", "{{.State.Status}}", container) == "exited"
    assert len(start_container(recovered)) == 64


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed before"])
def test_down_leaves_nothing_running(daemon, killed):
    up = engine.find_or_start()
    container = start_container(up)
    process = up.docker("inspect", "--format", "{{.State.Pid}}", container)
    if killed:
        kill_dockerd(daemon)

    engine.down()

    assert not daemon.processes()
    assert ends(process)
    assert str(daemon.data) not in Path("/proc/self/mountinfo").read_text()
    assert not daemon.run.exists()
    assert engine.status() == 1


def test_a_file_where_the_socket_belongs_is_named_and_kept(daemon):
    daemon.run.mkdir(parents=True)
    daemon.socket_file.write_text("mine")

    with pytest.raises(EngineError, match=f"{daemon.socket_file} is taken by something that is not a socket"):
        engine.find_or_start()

    assert daemon.socket_file.read_text() == "mine"


def test_a_socket_that_another_program_holds_is_named_and_kept(daemon):
    daemon.run.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.socket_file))
        other.listen()

        with pytest.raises(EngineError, match=f"{daemon.socket_file} is in use by another program"):
            engine.find_or_start()

    assert daemon.socket_file.exists()


def test_a_dockerd_that_dies_is_quoted(daemon, monkeypatch):
    options = [*daemon.network_options(), "--storage-driver=no-such-driver"]
    monkeypatch.setattr(Daemon, "network_options", lambda self: options)

    with pytest.raises(EngineError, match=r"did not start: .*no-such-driver.* \(log: /.*\)"):
        engine.find_or_start()


def test_a_reserved_gpu_is_recorded_and_shown(daemon):
    with gpu_engine.gpu_engine("tooltest", HOOK) as gpus:
        container = start_container(
            gpus, "--gpus", '"device=1,GPU-abc"', "--env", "NVIDIA_VISIBLE_DEVICES=all"
        )

        assert gpus.calls() == [{"visible": "1,GPU-abc", "args": ["prestart"], "capabilities": ""}]
        shown = gpus.docker("cp", f"{container}:/usr/bin/nvidia-smi", "-")
        assert "stand-in" in shown and "GPU 1" in shown and "GPU GPU-abc" in shown
    assert not Path("/sys/class/net", daemon.bridge).exists()


def test_the_machines_own_engine_is_preferred_and_needs_no_settings(no_engine):
    fake_docker(no_engine, compose="echo v2.40.3")

    found = engine.find_or_start()

    assert found.description == "this machine's own Docker Engine 28.5.2"
    assert (found.host, found.env, found.private) == (None, {}, False)


@pytest.mark.parametrize("compose", ["echo 1.29.2", "exit 1"], ids=["Compose 1", "no Compose"])
def test_an_engine_without_compose_2_is_refused(no_engine, capsys, compose):
    fake_docker(no_engine, compose)

    assert engine.guarded(engine.up) == 1

    assert "install docker-compose-plugin" in the_line(capsys)


@pytest.mark.parametrize(
    ("system", "uid", "advice"),
    [("ubuntu", 0, "use Debian"), ("debian", 1000, "run this as root (sudo)")],
)
def test_no_engine_and_no_way_to_start_one(no_engine, monkeypatch, capsys, system, uid, advice):
    monkeypatch.setattr(debian, "release", lambda: {"ID": system})
    monkeypatch.setattr(os, "geteuid", lambda: uid)

    assert engine.guarded(engine.up) == 1

    line = the_line(capsys)
    assert "no Docker Engine answers (there is no docker command): start it" in line
    assert advice in line


def test_no_network_for_the_download(debian_and_root, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "archive", lambda: "http://127.0.0.1:9/debian")
    monkeypatch.setattr(debian, "APT_CONF", f'{debian.APT_CONF}Acquire::Retries "0";\n')

    with pytest.raises(EngineError, match=r"^no network for the download\? .*127\.0\.0\.1"):
        debian.fetch()

    assert list(tmp_path.rglob("unfinished-*")) == []


def test_a_full_disk_is_said_before_the_download(debian_and_root, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "NEEDED_BYTES", 10**18)

    with pytest.raises(EngineError, match=r"needs 1000000000\.0 GB of free space: free disk space"):
        debian.fetch()


def test_ctrl_c_prints_no_traceback(capsys):
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert engine.guarded(interrupted) == 130
    assert "interrupted" in the_line(capsys)


def test_a_group_can_be_lent_the_engine(daemon, open_folder):
    up = engine.find_or_start()

    socket = Path(up.host.removeprefix("unix://"))
    as_other = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "docker"]
    with engine.lend(up, 12345, open_folder) as lent:
        for asked in (["version"], ["compose", "version"], ["buildx", "ls"]):
            subprocess.run([*as_other, *asked], env={**os.environ, **lent}, check=True, capture_output=True)

    assert socket.stat().st_gid == 0  # whoever gets that gid next does not get the engine
