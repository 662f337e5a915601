"""VS Code's reference client opens the project, as an ordinary user of the host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tests.conftest import generate
from tests.devcontainer.conftest import debugged, opened, up
from tests.support.index_server import package_index
from tests.support.light_project import empty


def test_it_opens_as_the_image_s_user_in_the_project(dev):
    assert dev.started["outcome"] == "success"
    assert dev.started["remoteUser"] == "app"
    assert dev.started["remoteWorkspaceFolder"] == "/code"


def test_the_accelerator_was_detected_before_the_start(dev):
    assert re.search(r"(?m)^ACCELERATOR=(cpu|nvidia)$", dev.project.read(".env"))


def test_a_terminal_has_the_ids_of_the_host_s_user(dev):
    assert dev.execute("id", "-un") == "app"
    assert (dev.execute("id", "-u"), dev.execute("id", "-g")) == (
        str(dev.user.uid),
        str(dev.user.gid),
    )


def test_a_file_made_in_the_workspace_belongs_to_the_host_s_user(dev):
    dev.execute("touch", "/code/made-in-vs-code")

    made = (dev.project.path / "made-in-vs-code").stat()
    assert (made.st_uid, made.st_gid) == (dev.user.uid, dev.user.gid)


def test_git_trusts_the_project_whoever_owns_it(dev):
    assert dev.execute("git", "config", "--system", "--get", "safe.directory") == "/code"


def test_the_tools_that_the_settings_name_are_there(dev):
    settings = json.loads(dev.project.read(".devcontainer/devcontainer.json"))
    python = settings["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]

    assert dev.execute("which", "python") == python
    groups = dev.execute("id", "-G").split()
    assert groups == [str(dev.user.gid), "4321"]  # compose.project.yaml's, and not root's
    versions = dev.execute(python, "-c", "import debugpy, ipykernel, pytest, capy_dev; print('all there')")

    assert versions == "all there"
    assert dev.execute("ruff", "check") == "All checks passed!"
    assert dev.execute("uv", "--version").startswith("uv ")


def test_a_debugger_sees_a_running_program(dev):
    assert debugged(dev) == "42"


def test_the_tests_pass_in_it(dev):
    assert " passed" in dev.execute("pytest")


def test_packages_can_be_added_to_the_environment(dev):
    path = dev.execute("python", "-c", "import numpy, pathlib; print(pathlib.Path(numpy.__file__).parent)")

    dev.execute("touch", f"{path}/written-by-its-user")


# Not in /tmp itself, which is sticky: there, most kernels refuse that root writes to another one's file.
PLANTED = """#!/bin/sh
echo "$(/usr/bin/id -u) ${0##*/}" >> /tmp/seen/planted
exec "$(PATH=/usr/sbin:/usr/bin; command -v "${0##*/}")" "$@"
"""
NAMES = "bash cat chmod chown cp env getent grep id mkdir mv rm sed sh stat tar test touch tr uname wget"


def test_opening_it_again_runs_nothing_as_root_that_a_job_has_planted(dev):
    """The client does some things as root, by names alone: mkdir, for one."""
    (dev.project.path / "planted").write_text(PLANTED)
    plant = "umask 0; mkdir /tmp/seen; touch /tmp/seen/planted; "
    plant += f"for name in {NAMES}; do cp planted /opt/venv/bin/$name; done"
    dev.execute("sh", "-c", f"{plant}; chmod 755 $(printf '/opt/venv/bin/%s ' {NAMES})")

    again = up(dev.user, dev.project)
    by_root = ["docker", "exec", "--user", "root", again.started["containerId"]]
    subprocess.run([*by_root, "sh", "-lc", "mkdir -p /tmp/made; cat /etc/hostname"], check=True)
    dev.execute("mkdir", "-p", "/tmp/made")
    ran = dev.execute("/bin/cat", "/tmp/seen/planted").splitlines()
    subprocess.run([*by_root, "/opt/venv/bin/id"], check=True)
    control = dev.execute("/bin/cat", "/tmp/seen/planted").splitlines()[len(ran) :]
    dev.execute("/bin/sh", "-c", f"/bin/rm $(printf '/opt/venv/bin/%s ' {NAMES}) planted")

    assert {line.split()[0] for line in ran} == {str(dev.user.uid)}  # a terminal has them
    assert control == ["0 id"]  # root's would have been seen


def test_what_the_project_adds_to_every_service_is_in_a_terminal(dev):
    shown = dev.execute("sh", "-c", "echo $OWN_SETTING; ulimit -n; ls /own; id -G").splitlines()

    assert shown[:3] == ["of the owner", "9000", "capy_dev"]
    assert "4321" in shown[-1].split()


def test_docker_compose_in_the_same_folder_leaves_it_alone(dev):
    run = dev.user.run("docker", "compose", "run", "--rm", "app", "-c", "print(1)", folder=dev.project.path)
    down = dev.user.run("docker", "compose", "down", "--remove-orphans", folder=dev.project.path)

    assert (run.returncode, run.stdout.split()[-1], down.returncode) == (0, "1", 0), run.stderr + down.stderr
    assert dev.execute("echo", "still there") == "still there"


def test_the_private_index_is_there_with_a_login_that_no_list_of_processes_shows(user, tmp_path):
    """The build has the password of the shell that starts VS Code; a terminal has .netrc's entry."""
    password, other = "s3cr3t-Qm4Vt7Zc", "t0ken-Lx3Fb6Ns"
    packages = {"in-house-package": "1.0", "in-house-tool": "1.0"}
    with package_index(tmp_path / "index", packages, {"corp": password}) as index:
        answers = {"private_index": index.url, "private_packages": "in-house-package"}
        project = empty(generate(user.home, project="capy-index", **answers))
        settings = project.path / ".devcontainer/devcontainer.json"
        files = '"../compose.yaml", "compose.yaml"'
        settings.write_text(settings.read_text().replace(files, f'{files}, "../compose.override.yaml"'))
        netrc = user.home / ".netrc"
        netrc.write_text(
            f"machine {index.host} login corp password {password}\n"
            f"machine git.example.com login me password {other}\n"
        )
        netrc.chmod(0o600)
        os.chown(netrc, user.uid, user.gid)
        shell = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": password, "NETRC": str(netrc)}
        with (
            watched("Qm4Vt7Zc", "Lx3Fb6Ns", "in-house-tool") as seen,
            opened(replace(user, environment=user.environment | shell), project) as dev,
        ):
            dev.execute("uv", "add", "--index", "private", "in-house-tool")
            terminal = dev.execute("sh", "-c", "env; cat /run/secrets/* /opt/index/* /dev/shm/* || true")
            container = dev.started["containerId"]
            kept = [
                subprocess.run(["docker", verb, container], capture_output=True, check=True).stdout
                for verb in ("inspect", "logs")
            ]
            words = ("Qm4Vt7Zc", "Lx3Fb6Ns", "in_house_package", "in_house_tool")
            as_root = ("--interactive", "--user", "root", "--privileged")
            in_container = found_in("exec", *as_root, container, "sh", words=words)
            image = json.loads(kept[0])[0]["Image"]
            in_image = found_in("run", "--rm", *as_root, "--entrypoint", "sh", image, words=words)

    assert "in-house-tool" in project.read("uv.lock")
    assert (project.path / "uv.lock").stat().st_uid == user.uid
    assert seen, "nobody was watching"
    assert not [line for line in seen if "Qm4Vt7Zc" in line or "Lx3Fb6Ns" in line]
    assert other not in terminal
    # the packages show that the search finds what is there
    assert (in_image, in_container) == ({"in_house_package"}, {"in_house_package", "in_house_tool"})
    assert not [len(data) for data in kept if b"Qm4Vt7Zc" in data or b"Lx3Fb6Ns" in data]
    assert not [
        path for path in project.path.rglob("*") if path.is_file() and password in str(path.read_bytes())
    ]


# The words come by stdin: no list of processes shows them. At the two places the login is mounted.
SEARCH = """
cat > /dev/shm/words
find / -xdev -type f ! -path '/opt/index/*' ! -path '/run/secrets/*' -exec grep -haoF -f /dev/shm/words {} +
"""


def found_in(*shell: str, words: tuple[str, ...]) -> set[str]:
    """Return which of the words are in a file, as `docker SHELL -c …` sees them; not in what is mounted."""
    command = ["docker", *shell, "-c", SEARCH]
    done = subprocess.run(command, input="\n".join(words), capture_output=True, text=True)
    return set(done.stdout.split())


@contextmanager
def watched(*words: str) -> Iterator[set[str]]:
    """Look at the command lines of the host's new processes, again and again; those with one of the words."""
    seen: set[str] = set()
    stop = threading.Event()
    old = processes()

    def look() -> None:
        while not stop.wait(0.02):
            now = processes()
            old.intersection_update(now)  # a number comes again
            for process in now - old:
                with suppress(OSError):
                    data = Path("/proc", process, "cmdline").read_bytes()
                    line = data.replace(b"\0", b" ").decode(errors="replace")
                    if any(word in line for word in words):
                        seen.add(line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def processes() -> set[str]:
    """Return the ids of the host's processes; os.listdir, since it is asked fifty times a second."""
    return {name for name in os.listdir("/proc") if name.isdecimal()}  # noqa: PTH208
