"""Names and input in any language, and the time of any zone, as people have them on their own machine."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from python_on_whales import DockerClient

from tests.support.workers import image_of

JAPANESE = "写真"


@contextmanager
def terminal(image: str, *command: str) -> Iterator[Callable[[str, str], str]]:
    """Run a command of the image on a terminal; talk(typed, expected) types, and returns what was shown."""
    ours, theirs = pty.openpty()
    run = ["docker", "run", "--rm", "--interactive", "--tty", "--env", "USER_ID=1234", image, *command]
    process = subprocess.Popen(run, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.set_blocking(ours, False)

    def talk(typed: str, expected: str) -> str:
        os.write(ours, typed.encode())
        shown, end = b"", time.monotonic() + 120
        while expected.encode() not in shown:
            assert time.monotonic() < end, shown.decode(errors="replace")
            try:
                shown += os.read(ours, 4096)
            except BlockingIOError:
                time.sleep(0.02)
        return shown.decode()

    try:
        yield talk
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_name_in_any_language_is_readable_on_a_terminal(image):
    """Without a locale, `ls` writes octal numbers for each byte."""
    with terminal(image, "sh", "-c", f"touch {JAPANESE}; ls; echo ended") as talk:
        assert JAPANESE in talk("", "ended")


def test_backspace_takes_a_whole_character_where_a_script_asks(image):
    """input() leaves the line to the terminal itself, which has to know that it is UTF-8."""
    with terminal(image, "-c", "print(ascii(input('?')))") as talk:
        talk("", "?")

        assert "'\\u65e5x'" in talk("日本\x7fx\r", "'\r\n")


@pytest.mark.parametrize("given", ["LANG=C", "LC_ALL=C"])
def test_a_locale_of_the_user_s_own_wins(start, given):
    name, value = given.split("=")

    assert start("locale", "charmap", envs={name: value}).stdout == "ANSI_X3.4-1968"


def test_what_is_started_beside_the_command_has_the_locale_too(docker, image):
    """`docker compose exec`, a health check, a terminal of VS Code: none of them comes by the entrypoint."""
    container = docker.run(image, ["sleep", "60"], detach=True)
    try:
        assert container.execute(["locale", "charmap"]) == "UTF-8"
    finally:
        container.remove(force=True)


@pytest.mark.parametrize(
    ("zone", "offset"), [("Asia/Tokyo", "+0900 JST"), ("JST-9", "+0900 JST"), ("", "+0000 UTC")]
)
def test_a_time_zone_is_that_of_the_system_s_programs(start, zone, offset):
    done = start("date", "+%z %Z", envs={"TZ": zone})

    assert (done.stdout, done.stderr) == (offset, "")


@pytest.mark.nightly
def test_a_base_image_without_time_zones_is_given_them(docker: DockerClient, base, built):
    """As Ubuntu's and NVIDIA's are; Debian's has them."""
    bare, name = image_of("capy-test", "without-zones"), image_of("capy-test", "system-stage")
    lines = f"FROM {base.name}\nRUN dpkg --purge --force-all tzdata && rm -rf /usr/share/zoneinfo\n"
    subprocess.run(["docker", "build", "--tag", bare, "-"], input=lines, text=True, check=True)
    options = ["--target", "system", "--build-arg", f"BASE_IMAGE={bare}", "--tag", name]
    done = built.run("docker", "build", "--file", "docker/Dockerfile", *options, ".")
    assert done.returncode == 0, done.stderr

    command = ["docker", "run", "--rm", "--env", "TZ=Asia/Tokyo", "--entrypoint", "date"]
    shown = [
        subprocess.run([*command, image, "+%Z"], capture_output=True, text=True).stdout
        for image in (bare, name)
    ]

    assert shown == ["Asia\n", "JST\n"]


def test_a_time_zone_is_that_of_python_too(start):
    code = "import datetime as d, zoneinfo as z; print(d.datetime.now(z.ZoneInfo('Asia/Tokyo')).utcoffset())"

    assert start("-c", code).stdout == "9:00:00"
    assert start("-c", "import time; print(time.strftime('%z'))", envs={"TZ": "Asia/Tokyo"}).stdout == "+0900"


@pytest.mark.parametrize("zone", ["Asia/Tokio", ":Asia/Tokio", "Asia/To\nkyo"])
def test_a_time_zone_that_the_image_does_not_know_is_said_in_one_line(start, zone):
    """The C library takes it for UTC, and calls that `Asia`."""
    done = start("date", "+%z", envs={"TZ": zone})

    assert (done.code, done.stdout) == (0, "+0000")
    assert done.stderr.startswith(
        f"entrypoint: TZ={zone.replace(chr(10), ' ')} is not known in this image, so times are UTC"
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("where", ["shell", ".env", "option"])
def test_a_time_zone_reaches_compose_s_service(project, where):
    """Without one it stays unset: a base image may have its own."""
    option = ["--env", "TZ=Asia/Tokyo"] if where == "option" else []
    if where == ".env":
        (project.path / ".env").write_text("ACCELERATOR=cpu\nTZ=Asia/Tokyo\n")
    environment = {"TZ": "Asia/Tokyo"} if where == "shell" else {}

    unset = ["env", "--unset=TZ"] if where == ".env" else []  # the shell's would win
    command = [*unset, "docker", "compose", "run", "--rm", *option, "app", "printenv", "TZ"]
    done = project.run(*command, **environment)

    assert done.stdout == "Asia/Tokyo\n", done.stderr


def test_a_time_zone_that_nobody_chose_is_not_set(project):
    done = project.run("env", "--unset=TZ", "docker", "compose", "run", "--rm", "app", "printenv", "TZ")

    assert (done.returncode, done.stdout) == (1, "")
