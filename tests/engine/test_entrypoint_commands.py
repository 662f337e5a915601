"""The entrypoint's second table: which command runs what, with which exit code."""

import subprocess
import time
import zipfile

import pytest
from python_on_whales import DockerClient

from tests.support.engine import finish

SCRIPT = "import sys; print('script', *sys.argv[1:])\n"


@pytest.fixture
def things(folder):
    """A project folder with something of each kind to run."""
    path = folder(1234, 1234)
    (path / "script.py").write_text(SCRIPT)
    (path / "module.py").write_text(SCRIPT)
    (path / "tool").mkdir()
    (path / "tool" / "__main__.py").write_text(SCRIPT)
    (path / "data").mkdir()
    (path / "notes").write_text("no program")
    with zipfile.ZipFile(path / "tool.pyz", "w") as archive:
        archive.writestr("__main__.py", SCRIPT)
    (path / "own.sh").write_text('#!/bin/sh\necho own "$@"\n')
    (path / "own.sh").chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("command", "output"),
    [
        pytest.param(["script.py", "a b", "--flag"], "script a b --flag", id="a script and its arguments"),
        pytest.param(["./script.py"], "script", id="a script by its path"),
        pytest.param(["/code/script.py"], "script", id="a script by its full path"),
        pytest.param(["-m", "module", "x"], "script x", id="a module"),
        pytest.param(["-c", "print(6 * 7)"], "42", id="code"),
        pytest.param(["-u", "script.py"], "script", id="an option of Python"),
        pytest.param(["tool", "x"], "script x", id="a folder with __main__.py"),
        pytest.param(["tool.pyz", "x"], "script x", id="a .pyz"),
        pytest.param(["echo", "x  y"], "x  y", id="an executable"),
        pytest.param(["./own.sh", "x"], "own x", id="an executable of the project"),
        pytest.param(["own.sh", "x"], "own x", id="an executable of the project by its name"),
        pytest.param(["python", "script.py"], "script", id="python, written out"),
        pytest.param(["sh", "-c", "echo $0 $1", "zero", "one"], "zero one", id="a shell and its arguments"),
    ],
)
def test_a_command_runs(start, things, command, output):
    done = start(*command)

    assert (done.code, done.stdout) == (0, output), done.stderr


def test_no_command_runs_bash(docker, image):
    process = docker.run(image, detach=True, tty=True, interactive=True)
    try:
        names = [
            row.split()[-1] for row in process.execute(["sh", "-c", "cat /proc/[0-9]*/comm"]).splitlines()
        ]
    finally:
        process.remove(force=True)

    assert "bash" in names
    assert "python" not in names


def test_pytest_is_in_the_image(start):
    done = start("pytest", "--version")

    assert done.code == 0
    assert done.stdout.startswith("pytest ")


@pytest.mark.parametrize(
    ("command", "code", "named"),
    [
        pytest.param(
            ["nosuch.py"],
            127,
            "nosuch.py: no such command, and no such file in /code",
            id="no such script",
        ),
        pytest.param(["nosuch"], 127, "nosuch: no such command", id="no such command"),
        pytest.param(["cd"], 127, "cd: no such command", id="a word that only a shell knows"),
        pytest.param([""], 127, "no such command", id="an empty word"),
        pytest.param(["./notes"], 126, "./notes is neither a .py file nor executable", id="not executable"),
        pytest.param(["data"], 126, "data is a folder without a __main__.py", id="a folder of data"),
    ],
)
def test_what_cannot_run_is_named_in_one_line(start, things, command, code, named):
    done = start(*command)

    assert done.code == code
    assert done.stdout == ""
    assert done.stderr.startswith("entrypoint: ")
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param(["sh", "-c", "exit 42"], 42, id="its own code"),
        pytest.param(["sh", "-c", "kill -9 $$"], 137, id="killed"),
        pytest.param(["-c", "import os; os.abort()"], 134, id="aborted"),
        pytest.param(["-c", "raise SystemExit(3)"], 3, id="SystemExit"),
    ],
)
def test_the_exit_code_of_the_command_is_the_container_s(start, command, code):
    done = start(*command)

    assert done.code == code


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        pytest.param("lambda *_: sys.exit(7)", 7, id="with a handler"),
        pytest.param("signal.SIG_DFL", 143, id="without a handler"),
    ],
)
def test_sigterm_reaches_the_script_in_under_two_seconds(docker: DockerClient, image, handler, code):
    script = (
        f"import signal, sys, time; signal.signal(signal.SIGTERM, {handler}); print('up'); time.sleep(60)"
    )
    container = docker.run(image, ["-c", script], detach=True)
    try:
        wait_for(lambda: "up" in container.logs())

        begin = time.monotonic()
        container.stop(time=30)
        seconds = time.monotonic() - begin

        assert container.state.exit_code == code
        assert seconds < 2
    finally:
        container.remove(force=True)


def test_tini_is_process_one_and_signals_the_script_alone(docker: DockerClient, image):
    """With -g it would end the loaders of a training script before the script could save its state."""
    command = docker.run(
        image, ["-c", "print(open('/proc/1/cmdline').read().split(chr(0))[:2])"], remove=True
    )

    assert command == "['/usr/bin/tini', '--']"


def test_what_runs_as_root_is_never_taken_from_the_environment_s_folder(
    docker: DockerClient, image, tmp_path
):
    """Every user may write to /opt/venv/bin, which comes first on the user's PATH."""
    marked = tmp_path / "marked"
    marked.write_text("#!/bin/sh\necho taken as uid $(/usr/bin/id -u) >&2\nexit 1\n")
    marked.chmod(0o755)
    names = [
        "stat",
        "sed",
        "id",
        "cat",
        "chown",
        "gosu",
        "setpriv",
        "which",
        "with-network",
        "entrypoint",
        "tr",
    ]

    done = finish(
        lambda: docker.run(
            image,
            ["/usr/bin/id", "-u"],
            volumes=[(marked, f"/opt/venv/bin/{name}", "ro") for name in names],
            envs={"USER_ID": "1234"},
            remove=True,
            stream=True,
        )
    )

    assert (done.stdout, done.stderr) == ("1234", "")


@pytest.mark.parametrize("own", ["/usr/bin:/bin", "/usr/bin:/opt/venv/bin:/bin"])
def test_a_path_of_the_user_s_own_reaches_the_command_and_has_the_environment(start, own):
    expected = own if "venv" in own else f"/opt/venv/bin:{own}"

    assert start("sh", "-c", "echo $PATH", envs={"PATH": own}).stdout == expected


def test_it_starts_commands_in_a_running_container_too(docker: DockerClient, image):
    """Beside tini, which is process 1 there already and would say so."""
    container = docker.run(image, ["sleep", "60"], detach=True, envs={"USER_ID": "1234"})
    try:
        command = [
            "docker",
            "exec",
            container.id,
            "entrypoint",
            "-c",
            "import os; print(os.getuid()); exit(3)",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        container.remove(force=True)

    assert (done.returncode, done.stdout, done.stderr) == (3, "1234\n", "")


def wait_for(condition) -> None:
    """Wait up to ten seconds until the condition holds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "nothing happened in 10 s"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("ulimit", "files"),
    [
        pytest.param("1024:9000", "9000", id="up to the hard limit"),
        pytest.param("1024:1024", "1024", id="the engine gives no more"),
        pytest.param("15000:15000", "15000", id="one that is high enough stays"),
    ],
)
def test_a_low_limit_of_open_files_is_raised(start, ulimit, files):
    done = start("sh", "-c", "ulimit -n", ulimit=[f"nofile={ulimit}"])

    assert (done.code, done.stdout) == (0, files), done.stderr


def test_without_a_command_and_a_terminal_it_says_what_to_type(project):
    """As `docker compose up --detach` starts it: the shell would end at once and say nothing."""
    up = project.run("docker", "compose", "up", "--exit-code-from", "app", "app")
    project.run("docker", "compose", "down")
    piped = subprocess.run(
        ["docker", "compose", "run", "--rm", "-T", "app"],
        cwd=project.path,
        input="echo from a pipe",
        capture_output=True,
        text=True,
    )

    assert up.returncode == 64
    assert (
        "entrypoint: no command and no terminal. A shell: docker compose run --rm app"
        in up.stdout + up.stderr
    )
    assert (piped.returncode, piped.stdout) == (0, "from a pipe\n"), piped.stderr
