"""What root runs in a container where a job has replaced every program that its user may replace.

`docker exec` and `docker compose exec` are root there, and so is a health check.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from python_on_whales import DockerClient

from tests.support.engine import change_owner
from tests.support.stand_ins import build_image
from tests.support.workers import CHECKOUT

UID, GID = 1234, 5678
NAMES = "apt-get bash cat doctor entrypoint env grep id ldconfig python python3 sed sh stat uv which"
# A folder without the sticky bit: in /tmp itself, most kernels refuse that root writes to another one's file.
# Tells who ran it, then does the work, so that nobody notices.
PROGRAM = """#!/bin/bash
echo "$(/usr/bin/id -u) ${0##*/} $*" >> /tmp/seen/planted
case ${0##*/} in python*) exec -a "$0" /usr/bin/python3 "$@" ;; esac
exec "$(PATH=/usr/local/bin:/usr/sbin:/usr/bin; command -v "${0##*/}")" "$@"
"""
PTH = "import os; open('/tmp/seen/planted', 'a').write(f'{os.getuid()} planted.pth\\n')\n"
JOB = f"""
rm -f /opt/venv/bin/python* && umask 0 && mkdir /tmp/seen && touch /tmp/seen/planted
for name in {NAMES}; do cp program /opt/venv/bin/$name; done
cp planted.pth /opt/venv/lib/python3*/site-packages/ && touch /tmp/seen/ready
exec /usr/bin/sleep 600
"""
COMMANDS = [
    ["python", "-c", "1"],
    ["python3", "-c", "1"],
    ["apt-get", "--version"],
    ["sh", "-c", "id; cat /dev/null; python3 -c 1"],
    ["bash", "-lc", "id; python3 -c 1; python -c 1"],
    ["env", "python3", "-c", "1"],
    ["ldconfig", "-p"],
    ["doctor", "--packages"],
    ["uv", "--version"],
    ["uv", "pip", "list"],
    ["uv", "run", "python", "-c", "1"],
    ["entrypoint", "python", "-c", "1"],
    ["entrypoint", "id"],
]


@pytest.fixture(scope="module")
def job(docker: DockerClient, image, built, tmp_path_factory) -> Iterator[str]:
    """A container with compose.yaml's rights, whose job has planted its programs as an ordinary user."""
    code = tmp_path_factory.mktemp("job")
    (code / "program").write_text(PROGRAM)
    (code / "program").chmod(0o755)
    (code / "planted.pth").write_text(PTH)
    change_owner(code, UID, GID, image)
    app = yaml.safe_load(built.read("compose.yaml"))["services"]["app"]
    rights = {"cap_drop": app["cap_drop"], "cap_add": app["cap_add"], "security_options": app["security_opt"]}
    container = docker.run(image, ["/bin/sh", "-c", JOB], volumes=[(code, "/code")], detach=True, **rights)
    try:
        by_root(container.id, "/bin/sh", "-c", "until [ -e /tmp/seen/ready ]; do /usr/bin/sleep 0.1; done")
        yield container.id
    finally:
        container.remove(force=True)
        change_owner(code, os.getuid(), os.getgid(), image)


def by_root(container: str, *words: str) -> str:
    """Run a command as `docker exec` does; return its output."""
    command = ["docker", "exec", container, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def planted(container: str, *command: str) -> tuple[set[tuple[str, ...]], str]:
    """Return what ran of what was planted, with the uid before it, and the output of the command."""
    by_root(container, "/usr/bin/truncate", "--size=0", "/tmp/seen/planted")
    output = by_root(container, *command)
    lines = by_root(container, "/bin/cat", "/tmp/seen/planted").splitlines()
    return {tuple(line.split()[:2]) for line in lines}, output


def test_what_root_runs_of_it_is_seen(job):
    ran, _ = planted(job, "/opt/venv/bin/id")

    assert ran == {("0", "id")}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_docker_exec_as_root_runs_nothing_that_a_job_has_planted(job, command):
    ran, _ = planted(job, *command)

    assert {uid for uid, _ in ran} <= {str(UID)}, ran


@pytest.mark.parametrize(
    "command",
    [["doctor", "--packages"], ["uv", "run", "python", "-c", "1"], ["entrypoint", "python", "-c", "1"]],
)
def test_what_needs_the_environment_runs_as_the_user(job, command):
    """And what was planted does run then."""
    ran, _ = planted(job, *command)

    assert {uid for uid, _ in ran} == {str(UID)}
    assert (str(UID), "planted.pth") in ran


def test_a_health_check_runs_nothing_that_a_job_has_planted(job, bake):
    """The one of a machine of a Ray cluster, as the engine runs it."""
    node = yaml.safe_load(bake(scale_out="ray").read("docker/ray.yaml"))["services"]["node"]
    how, *command = node["healthcheck"]["test"]

    ran, output = planted(job, *command)

    assert how == "CMD"
    assert {uid for uid, _ in ran} <= {str(UID)}, ran
    assert "Connection refused" in output  # it asked


def test_docker_exec_with_the_entrypoint_is_the_user_with_the_environment(job):
    who = "print(json.dumps([os.getuid(), os.getgid(), os.environ['PATH'], os.environ['HOME']]))"

    output = by_root(job, "entrypoint", "-c", f"import json, os; {who}")

    uid, gid, path, home = json.loads(output)
    assert (uid, gid, home) == (UID, GID, "/home/app")
    assert path.startswith("/opt/venv/bin:/usr/local/")


def test_ldconfig_lets_no_library_of_a_job_into_a_program_of_root(light_image, bake, tmp_path):
    """apt-get starts it, and so does NVIDIA's container toolkit, at each start of a container with a GPU.

    The environment `full` has links to the packages' CUDA libraries, for ONNX Runtime; here, to one of them.
    """
    dockerfile = bake(environment="full").read("docker/Dockerfile")
    [links] = set(re.findall(r"find /opt/venv -path '\*/nvidia/.* {} \\;", dockerfile))
    [variable] = set(re.findall(r"^ENV LD_LIBRARY_PATH=.*", dockerfile, re.M))
    step = f"RUN mkdir -p /usr/local/lib/nvidia && {links}\n{variable}"
    folder = "/opt/venv/lib/nvidia/cublas/lib"
    install = f"RUN mkdir -p {folder} && umask 0 && touch {folder}/libcublas.so.13 && chmod a+w {folder}"
    image = build_image(f"FROM {light_image}\n{install}\n{step}\n", f"capy-env-links{CHECKOUT}")
    look = "import zlib; print([line.split()[-1] for line in open('/proc/self/maps')"
    look += " if 'libz' in line or 'venv' in line][0])"
    job = f"rm {folder}/* && cp -L /lib/*-linux-gnu/libz.so.1 {folder}/libcublas.so.13 && exec sleep 600"
    command = ["docker", "run", "--detach", "--env=USER_ID=1234", image, "sh", "-c", job]
    container = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        by_root(
            container, "sh", "-c", f"until [ -s {folder}/libcublas.so.13 ]; do sleep 0.1; done; sleep 0.3"
        )
        by_root(container, "ldconfig")
        loaded = by_root(container, "/usr/bin/python3", "-I", "-c", look)
        opened = by_root(
            container, "/usr/bin/python3", "-I", "-c", "import ctypes; ctypes.CDLL('libcublas.so.13')"
        )
    finally:
        subprocess.run(["docker", "rm", "--force", container], check=True, capture_output=True)

    assert loaded.startswith("/usr/lib/")
    assert opened == ""  # and ONNX Runtime finds what it looks for
