"""Check every launcher: whether it builds and runs a project, with the right files, signals and secrets.

A launcher is an engine with one of its clients: `docker compose` on Docker 20.10, `podman run`,
podman-compose. `examine` fills a row of the table in docs/hosts.md; the fixture `launchers` prints the
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
from tests.support.waiting import within

Finished = subprocess.CompletedProcess[str]
YES = "yes"
UNASKED = "-"
# A build step that prints the content of the build secret `ca`.
SEEN = "\nRUN --mount=type=secret,id=ca cksum < /run/secrets/ca > /opt/ca-of-the-build\n"
WAIT_SECONDS = 40


@dataclass(frozen=True)
class Launcher:
    """An engine with one of its clients. Each function works in `project`, and returns its client's output.

    `run` has the program's exit code; `start` is `run` without waiting; `stop` is `docker stop` of the one
    running container; `gpus(ids)` makes a container with ACCELERATOR=nvidia and GPU_IDS=ids, and returns the
    ids of its GPUs.
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
    """Add a build step that reads the secret, a script, and settings in .env, for the checks."""
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
    """Return the line of a client's output with the reason of its failure."""
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return (lines or [f"exit code {done.returncode}"])[-1]


def builds(launcher: Launcher) -> str:
    """Check that the image builds, and that a second build is cached."""
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
    """Check that the project's script and the doctor succeed."""
    for command in ("script.py", "doctor"):
        done = launcher.run(command)
        if done.returncode:
            return f"{command}: {last_line(done)}"
    return YES


def owner_right(launcher: Launcher) -> str:
    """Check that outputs belong to the owner of the project folder."""
    output = launcher.project / "outputs/owned"
    done = launcher.run("-c", "import pathlib; pathlib.Path('outputs/owned').write_text('x')")
    if done.returncode or not output.exists():
        return last_line(done)
    folder, made = launcher.project.stat(), output.stat()
    right = (made.st_uid, made.st_gid) == (folder.st_uid, folder.st_gid)
    return YES if right else f"{made.st_uid}:{made.st_gid}"


def probe(launcher: Launcher) -> dict:
    """Return a container's view of its folders and secrets. Raises AssertionError if it does not run."""
    done = launcher.run("-c", PROBE)
    found = re.search(r"^\{.*\}$", done.stdout, re.MULTILINE)  # podman-compose prints a container's id first
    assert found, last_line(done)
    return json.loads(found[0])


def cache(launcher: Launcher) -> str:
    """Check that /cache is .cache of the project: a file there is kept and belongs to the owner."""
    wrote = probe(launcher)["cache"]
    if wrote is not True:
        return wrote
    made = launcher.project / ".cache/made"
    if not made.exists():
        return "nothing is in .cache"
    return YES if made.stat().st_uid == launcher.project.stat().st_uid else f"uid {made.stat().st_uid}"


def packages_writable(launcher: Launcher) -> str:
    """Check that a package can save files in its own folder."""
    wrote = probe(launcher)["packages"]
    return YES if wrote is True else wrote


def secret(launcher: Launcher) -> str:
    """Check that the build and the run get the certificates unchanged."""
    path = re.findall(r"(?m)^CA_BUNDLE=(.*)$", (launcher.project / ".env").read_text())[-1]
    wanted = subprocess.run(["cksum"], input=Path(path).read_bytes(), capture_output=True)
    seen = probe(launcher)
    wrong = [name for name in ("build", "run") if seen[name] != wanted.stdout.decode().split()]
    return YES if not wrong else f"not in the {' and the '.join(wrong)}"


def exit_codes(launcher: Launcher) -> str:
    """Check the exit codes: the program's own, 126 for no program, 127 for a missing one."""
    wanted = {7: ["-c", "raise SystemExit(7)"], 126: ["docker"], 127: ["no-such-command"]}
    found = {code: launcher.run(*command).returncode for code, command in wanted.items()}
    wrong = [f"{code} became {got}" for code, got in found.items() if code != got]
    return ", ".join(wrong) or YES


def signals(launcher: Launcher) -> str:
    """Check that `docker stop` reaches the script, which saves its state and exits with its own code."""
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


def gpu_request(launcher: Launcher) -> str:
    """Check that ACCELERATOR=nvidia requests all GPUs, and GPU_IDS one."""
    if launcher.gpus is None:
        return UNASKED
    wrong = [f"{ids} became {got or 'none'}" for ids in ("all", "1") if (got := launcher.gpus(ids)) != ids]
    return ", ".join(wrong) or YES


def messages(launcher: Launcher) -> str:
    """Check that neither the settings nor a run print a warning."""
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
    """Return a row of the table by column: "yes…", "-" if it was not checked, else what went wrong.

    An error of a check is the value of its column; the other checks still run.
    """
    row = {}
    for column, check in COLUMNS.items():
        try:
            row[column] = check(launcher)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            row[column] = str(error).splitlines()[0] if str(error) else type(error).__name__
    return row


def wrong(row: dict[str, str]) -> dict[str, str]:
    """Return the cells with a failure."""
    return {column: cell for column, cell in row.items() if not cell.startswith((YES, UNASKED))}


@pytest.fixture(scope="module")
def launchers(pytestconfig: pytest.Config) -> Iterator[dict[str, dict[str, str]]]:
    """Yield the rows of the table by launcher, and print the table after the file's tests."""
    rows: dict[str, dict[str, str]] = {}
    yield rows
    if rows:
        lines = [(name, *(row.get(column, UNASKED) for column in COLUMNS)) for name, row in rows.items()]
        report_table(pytestconfig, ("launcher", *COLUMNS), lines)


def copy_for(project: Path, folder: Path, owner: int) -> Path:
    """Copy a project for a launcher and change the owner of all files."""
    copy = Path(shutil.copytree(project, folder, symlinks=True))
    for path in (copy, *copy.rglob("*")):
        os.chown(path, owner, owner, follow_symlinks=False)
    return copy
