"""Hosts of every kind: who the script is, who owns what it makes, what it may write. Ends with a table."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from engines.engine import Engine
from engines.gpu_engine import copy_image
from engines.mapped_engines import remapped_engine, rootless_engine
from engines.steps import EngineError
from tests.conftest import BakedProject
from tests.support.engine import change_owner, give_up
from tests.support.tables import report_table

EVERYTHING = frozenset({"/code", "/cache", "HOME", "packages"})
# Prints who runs, and which folders took a file.
PROBE = """
import json, os, pathlib, site
packages = site.getsitepackages()[0]
folders = {"/code": "/code", "/cache": "/cache", "HOME": pathlib.Path.home(), "packages": packages}
def takes(folder):
    try:
        pathlib.Path(folder, "made").write_text("x")
        return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "who": f"{os.getuid()}:{os.getgid()}",
    "writes": [name for name, folder in folders.items() if takes(folder)],
    "capabilities": int(status["CapEff"], 16),
}))
"""


@dataclass(frozen=True)
class Host:
    """A host: whose the project folder is, how the container is started, and what follows from it."""

    owner: str  # of the folder, in the eyes of the host
    who: str  # in the container
    made_by: str  # who owns the output, in the eyes of the host; empty: there is none
    writes: frozenset[str] = EVERYTHING
    mode: int = 0o755
    options: list[str] = field(default_factory=list)
    mount: str = ""  # the end of the mount's option
    other_file_system: bool = False


HIGHEST = "2147483646:2147483646"
HOSTS = {
    "rootful": Host("1234:5678", "1234:5678", "1234:5678"),
    "the folder is root's": Host("0:0", "0:0", "0:0"),
    "the folder is somebody else's, USER_ID is yours": Host(
        "4321:4321",
        "1234:5678",
        "",
        EVERYTHING - {"/code"},
        options=["--env=USER_ID=1234", "--env=GROUP_ID=5678"],
    ),
    "a folder of a group, with setgid": Host(
        "4321:5678",
        "1234:5678",
        "1234:5678",
        mode=0o2775,
        options=["--env=USER_ID=1234", "--env=GROUP_ID=5678"],
    ),
    "a read-only project": Host("1234:5678", "1234:5678", "", EVERYTHING - {"/code"}, mount=":ro"),
    "ids of 2^31-2": Host(HIGHEST, HIGHEST, HIGHEST),
    "a project on another file system": Host("1234:5678", "1234:5678", "1234:5678", other_file_system=True),
    "--user 1234:5678": Host("1234:5678", "1234:5678", "1234:5678", options=["--user=1234:5678"]),
    "--read-only with tmpfs": Host(
        "1234:5678",
        "1234:5678",
        "1234:5678",
        frozenset({"/code", "HOME"}),
        options=["--read-only", "--tmpfs=/tmp"],
    ),
    "OpenShift: any uid, gid 0": Host(
        "1000650000:0", "1000650000:0", "1000650000:0", options=["--user=1000650000:0"]
    ),
}


@pytest.fixture(scope="module")
def rows(pytestconfig: pytest.Config) -> Iterator[list[tuple[str, ...]]]:
    """The rows of the table, which is shown when the file's tests are done."""
    found: list[tuple[str, ...]] = []
    yield found
    columns = ("host", "the folder's owner", "the script is", "its output is", "it may write")
    report_table(pytestconfig, columns, found)


@pytest.fixture(scope="module")
def hardened(built: BakedProject) -> list[str]:
    """The options of `docker run` that are compose.yaml's."""
    app = yaml.safe_load(built.read("compose.yaml"))["services"]["app"]
    return [
        *(f"--cap-drop={name}" for name in app["cap_drop"]),
        *(f"--cap-add={name}" for name in app["cap_add"]),
        *(f"--security-opt={name}" for name in app["security_opt"]),
    ]


def probe(engine: Engine, image: str, code: Path, options: list[str], mount: str = "") -> tuple[dict, str]:
    """Run the probe with `code` mounted; return what it printed, and stderr."""
    command = ["docker", "run", "--rm", *options, "--volume", f"{code}:/code{mount}", image]
    done = subprocess.run([*command, "-c", PROBE], env=engine.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.strip()


def owner_of(path: Path) -> str:
    """Return uid:gid of a file on the host, "" if it does not exist."""
    return f"{path.stat().st_uid}:{path.stat().st_gid}" if path.exists() else ""


def note(rows: list, name: str, code: Path, seen: dict) -> None:
    """Add what was seen to the table."""
    rows.append((name, owner_of(code), seen["who"], owner_of(code / "made"), " ".join(seen["writes"])))


@pytest.mark.parametrize("name", HOSTS)
def test_on_a_rootful_engine(engine, image, hardened, rows, tmp_path, pytestconfig, name):
    host = HOSTS[name]
    code = tmp_path / "code"
    code.mkdir()
    if host.other_file_system:
        if os.getuid() != 0:
            give_up(pytestconfig, "NOT ROOT: only root can mount a file system")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(code)], check=True)
    try:
        change_owner(code, *map(int, host.owner.split(":")), image)
        code.chmod(host.mode)

        seen, said = probe(engine, image, code, [*hardened, *host.options], host.mount)

        note(rows, name, code, seen)
        assert (seen["who"], set(seen["writes"])) == (host.who, host.writes)
        assert owner_of(code / "made") == host.made_by
        assert said == ""
        assert owner_of(code) == host.owner
        if not host.who.startswith("0:"):
            assert seen["capabilities"] == 0
    finally:
        if host.other_file_system:
            subprocess.run(["umount", str(code)], check=True)
        else:
            change_owner(code, os.getuid(), os.getgid(), image)


def test_on_a_rootless_engine_root_is_its_user(engine, light_image, hardened, rows, pytestconfig):
    try:
        with rootless_engine("capy-rootless") as (rootless, home):
            copy_image(light_image, engine, rootless)
            user = home.stat().st_uid
            code, other = home / "code", home / "somebody else's"
            for folder, owner in ((code, user), (other, 99)):
                folder.mkdir()
                os.chown(folder, owner, owner)

            for name, folder, writes in (
                ("rootless", code, EVERYTHING),
                ("rootless, the folder is somebody else's", other, EVERYTHING - {"/code"}),
            ):
                seen, said = probe(rootless, light_image, folder, hardened)
                note(rows, name, folder, seen)
                assert set(seen["writes"]) == writes
                if folder == code:
                    assert (seen["who"], owner_of(code / "made"), said) == ("0:0", f"{user}:{user}", "")
                else:
                    assert said.startswith("entrypoint: this engine cannot act as the owner of /code")
                    assert len(said.splitlines()) == 1
    except EngineError as error:
        give_up(pytestconfig, f"NO ROOTLESS ENGINE: {error}")


def test_where_user_ids_are_remapped_it_takes_userns_mode_host(
    engine, light_image, hardened, rows, open_folder, pytestconfig
):
    folder = open_folder
    os.chown(folder, 1234, 5678)
    try:
        with remapped_engine("remaptest", "capy-remap") as remapped:
            copy_image(light_image, engine, remapped)

            seen, said = probe(remapped, light_image, folder, hardened)
            note(rows, "userns-remap", folder, seen)
            assert set(seen["writes"]) == EVERYTHING - {"/code"}
            assert "userns_mode: host" in said
            assert len(said.splitlines()) == 1

            seen, said = probe(remapped, light_image, folder, [*hardened, "--userns=host"])
            note(rows, "userns-remap, userns_mode: host", folder, seen)
            assert (seen["who"], set(seen["writes"])) == ("1234:5678", EVERYTHING)
            assert said == ""
            assert owner_of(folder / "made") == "1234:5678"
    except EngineError as error:
        give_up(pytestconfig, f"NO ENGINE WITH userns-remap: {error}")
