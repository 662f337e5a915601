"""What every launcher is asked: does it build and run a project, and are files, signals and secrets right?

A launcher is an engine with one of its clients: `docker compose` on Docker 20.10, `podman run`,
podman-compose. `examine` fills a row of the table of docs/hosts.md; the fixture `launchers` prints the
table after a file's tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.probes import PATIENT, PROBE
from tests.support.tables import report_table

Finished = subprocess.CompletedProcess[str]
YES = "yes"
UNASKED = "-"
# A build step of the test's own: what the build was given as the secret `ca`.
SEEN = "\nRUN --mount=type=secret,id=ca cksum < /run/secrets/ca > /opt/ca-of-the-build\n"
WAIT_SECONDS = 40


@dataclass(frozen=True)
class Launcher:
    """An engine with one of its clients. Each function works in `project`, and returns its client's output.

    `run` ends as the program did; `start` is `run` without the wait; `stop` is `docker stop` of the one
    container that runs; `gpus(ids)` makes a container with ACCELERATOR=nvidia and GPU_IDS=ids, and returns
    the ids that it was given.
    """

    name: str
    project: Path
    build: Callable[[], Finished]
    run: Callable[..., Finished]
    start: Callable[..., subprocess.Popen]
    stop: Callable[[], object]
    config: Callable[[], Finished] | None = None
    gpus: Callable[[str], str] | None = None


def prepare(project: Path, certificates: Path) -> None:
    """Add what the checks look at: a build step that reads the secret, a script, and the settings in .env."""
    dockerfile = project / "docker/Dockerfile"
    text = dockerfile.read_text()
    begin = text.index("COPY --chown=app:root . /code\n")
    dockerfile.write_text(text[:begin] + SEEN.lstrip() + text[begin:])
    (project / "patient.py").write_text(PATIENT)
    (project / "outputs").mkdir(exist_ok=True)
    with (project / ".env").open("a") as settings:
        settings.write(f"ACCELERATOR=cpu\nCA_BUNDLE={certificates}\n")


def short(version: str) -> str:
    """Return the first two numbers of a version, as the tables have them: 28.5 of 28.5.2+dfsg4."""
    return re.search(r"\d+\.\d+", version)[0]


def last_line(done: Finished) -> str:
    """Return the line of a client's output that says why it failed."""
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return (lines or [f"exit code {done.returncode}"])[-1]


def builds(launcher: Launcher) -> str:
    """The image is built, and the second build does nothing again."""
    begin = time.monotonic()
    done = launcher.build()
    seconds = time.monotonic() - begin
    if done.returncode:
        return last_line(done)
    begin = time.monotonic()
    again = launcher.build()
    if again.returncode:
        return f"the second time: {last_line(again)}"
    return f"{YES}, {seconds:.0f} s, again {time.monotonic() - begin:.0f} s"


def runs(launcher: Launcher) -> str:
    """The project's script and the doctor end with 0."""
    for command in ("script.py", "doctor"):
        done = launcher.run(command)
        if done.returncode:
            return f"{command}: {last_line(done)}"
    return YES


def owner_right(launcher: Launcher) -> str:
    """An output belongs to the owner of the project folder."""
    output = launcher.project / "outputs/owned"
    done = launcher.run("-c", "import pathlib; pathlib.Path('outputs/owned').write_text('x')")
    if done.returncode or not output.exists():
        return last_line(done)
    folder, made = launcher.project.stat(), output.stat()
    right = (made.st_uid, made.st_gid) == (folder.st_uid, folder.st_gid)
    return YES if right else f"{made.st_uid}:{made.st_gid}"


def probe(launcher: Launcher) -> dict:
    """Return what a container sees of its folders and secrets. Raises AssertionError: it does not run."""
    done = launcher.run("-c", PROBE)
    found = re.search(r"^\{.*\}$", done.stdout, re.MULTILINE)  # podman-compose prints a container's id first
    assert found, last_line(done)
    return json.loads(found[0])


def cache(launcher: Launcher) -> str:
    """/cache is .cache of the project: it takes a file, which outlives the container and is the owner's."""
    wrote = probe(launcher)["cache"]
    if wrote is not True:
        return wrote
    made = launcher.project / ".cache/made"
    if not made.exists():
        return "nothing is in .cache"
    return YES if made.stat().st_uid == launcher.project.stat().st_uid else f"uid {made.stat().st_uid}"


def packages_writable(launcher: Launcher) -> str:
    """A package can save beside itself."""
    wrote = probe(launcher)["packages"]
    return YES if wrote is True else wrote


def secret(launcher: Launcher) -> str:
    """The certificates reach the build and the run, byte for byte."""
    path = re.findall(r"(?m)^CA_BUNDLE=(.*)$", (launcher.project / ".env").read_text())[-1]
    wanted = subprocess.run(["cksum"], input=Path(path).read_bytes(), capture_output=True)
    seen = probe(launcher)
    wrong = [name for name in ("build", "run") if seen[name] != wanted.stdout.decode().split()]
    return YES if not wrong else f"not in the {' and the '.join(wrong)}"


def exit_codes(launcher: Launcher) -> str:
    """A program's own code, 126 for what is no program and 127 for what does not exist come back."""
    wanted = {7: ["-c", "raise SystemExit(7)"], 126: ["docker"], 127: ["no-such-command"]}
    found = {code: launcher.run(*command).returncode for code, command in wanted.items()}
    wrong = [f"{code} became {got}" for code, got in found.items() if code != got]
    return ", ".join(wrong) or YES


def signals(launcher: Launcher) -> str:
    """`docker stop` reaches the script, which saves its state and ends with its own code."""
    ready, saved = (launcher.project / "outputs" / name for name in ("ready", "saved"))
    for file in (ready, saved):
        file.unlink(missing_ok=True)
    process = launcher.start("patient.py")
    try:
        if not within(WAIT_SECONDS, ready.exists):
            return "the script did not start"
        launcher.stop()
        code = process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        return "the client goes on"
    finally:
        if process.poll() is None:
            process.kill()
    if not saved.exists():
        return "SIGTERM did not arrive"
    if saved.read_text() != "x":
        return "SIGTERM arrived twice"
    return YES if code == 42 else f"42 became {code}"


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Wait until `done()`; return whether that was in time."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def gpu_request(launcher: Launcher) -> str:
    """ACCELERATOR=nvidia asks for all GPUs, and GPU_IDS for one."""
    if launcher.gpus is None:
        return UNASKED
    wrong = [f"{ids} became {got or 'none'}" for ids in ("all", "1") if (got := launcher.gpus(ids)) != ids]
    return ", ".join(wrong) or YES


def messages(launcher: Launcher) -> str:
    """Neither the settings nor a run come with a warning."""
    for ask in (launcher.config, lambda: launcher.run("-c", "pass")):
        if ask is None:
            continue
        if found := re.search(r"(?im)^.*\b(warn\w*|deprecated|obsolete|error)\b.*$", ask().stderr):
            return found[0].strip()
    return YES


COLUMNS: dict[str, Callable[[Launcher], str]] = {
    "builds": builds,
    "runs": runs,
    "owner": owner_right,
    "cache": cache,
    "packages writable": packages_writable,
    "secret": secret,
    "exit codes": exit_codes,
    "docker stop": signals,
    "GPU request": gpu_request,
    "messages": messages,
}


def examine(launcher: Launcher) -> dict[str, str]:
    """Return a row of the table: "yes…", "-" where it was not asked, else what went wrong, by column.

    A check that stops in an error is that column's answer: the others are asked all the same.
    """
    row = {}
    for column, check in COLUMNS.items():
        try:
            row[column] = check(launcher)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            row[column] = str(error).splitlines()[0] if str(error) else type(error).__name__
    return row


def wrong(row: dict[str, str]) -> dict[str, str]:
    """Return the cells that are neither right nor left out."""
    return {column: cell for column, cell in row.items() if not cell.startswith((YES, UNASKED))}


@pytest.fixture(scope="module")
def launchers(pytestconfig: pytest.Config) -> Iterator[dict[str, dict[str, str]]]:
    """The rows of the table by launcher, which is shown when the file's tests are done."""
    rows: dict[str, dict[str, str]] = {}
    yield rows
    if rows:
        lines = [(name, *(row.get(column, UNASKED) for column in COLUMNS)) for name, row in rows.items()]
        report_table(pytestconfig, ("launcher", *COLUMNS), lines)


def copy_for(project: Path, folder: Path, owner: int) -> Path:
    """Copy a project for a launcher, with everything in it given to `owner`."""
    copy = Path(shutil.copytree(project, folder, symlinks=True))
    for path in (copy, *copy.rglob("*")):
        os.chown(path, owner, owner, follow_symlinks=False)
    return copy
