"""Check shared memory, user name, HOME, and write permission for folders."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import stat
import sysconfig
import tempfile
from pathlib import Path

from .facts import Facts
from .findings import Findings, ok, problem, remark, skipped

CODE, CACHE = Path("/code"), Path("/cache")
SHARED_MEMORY = Path("/dev/shm")
# In every image but deploy, whose user may not change packages and code.
UV = Path("/usr/local/bin/uv")

READ_ONLY, OWNED = "it is on a read-only file system", "it belongs to "
FULL = tuple(os.strerror(code).lower() for code in (errno.ENOSPC, errno.EDQUOT))


def check_shared_memory(facts: Facts) -> Findings:
    """Check that /dev/shm is large enough for the workers of a training loader."""
    need, mib = facts.shared_memory_mib, 0
    with contextlib.suppress(FileNotFoundError):
        size = os.statvfs(SHARED_MEMORY)
        mib = size.f_frsize * size.f_blocks // 2**20
    if need and mib < need:
        yield problem(
            f"{SHARED_MEMORY} has {mib} MiB, a data loader needs {need}",
            "its workers pass batches there, and die of a bus error when it is full",
            f"write shm_size: {need}m into compose.project.yaml (docker run: --shm-size {need}m)",
        )
    else:
        yield ok(f"{mib} MiB") if need else skipped("this environment has no data loader")


def check_user(facts: Facts) -> Findings:
    """Check that the user has a name and HOME: torch and Ray need the name on import."""
    fix = "docker compose run --rm app; with docker run, keep the image's entrypoint"
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        yield problem(f"uid {os.geteuid()} has no name", "torch and Ray cannot be imported", fix)
        return
    if os.environ.get("HOME"):
        yield ok(f"{name} ({os.geteuid()}:{os.getegid()})")
    else:
        yield problem("HOME is not set", "packages keep settings and weights there", fix)


def check_folders(facts: Facts) -> Findings:
    """Check that /code, HOME, /cache and the environment are writable, by writing a file."""
    ids = [f"{name}={os.environ[name]}" for name in ("USER_ID", "GROUP_ID") if os.environ.get(name)]
    whose = f"; with {' and '.join(ids)} you do not own it" if ids else ""
    site = Path(sysconfig.get_path("purelib"))
    folders = [
        (
            CODE,
            f"your scripts write results there{whose}",
            "leave USER_ID and GROUP_ID in .env empty: then you run as the folder's owner; if they "
            "are empty, on the host: ls -ld .",
        ),
        (
            CACHE,
            "downloaded weights are kept there",
            ("leave USER_ID and GROUP_ID in .env empty, or: " if ids else "")
            + "set CACHE_DIR in .env to a folder of yours; for .cache, on the host: "
            "sudo chown $(id -u):$(id -g) .cache",
        ),
        (
            site,
            "packages that save files (checkpoints) in their own folder fail",
            "docker compose run --rm app, or docker run --user UID:0 (group 0 can write); "
            "else: docker compose build --no-cache",
        ),
    ]
    if home := os.environ.get("HOME"):
        fix = "docker compose run --rm app sets a writable HOME; else docker run -e HOME=/tmp"
        folders.append((Path(home), "packages keep settings and weights there", fix))
    fine = []
    for folder, why, fix in folders:
        if reason := not_writable(folder):
            if reason == READ_ONLY and os.environ.get("APPTAINER_CONTAINER"):
                mounts = {CODE: '--bind "$PWD":/code', CACHE: '--bind "$PWD/.cache":/cache'}
                fix = f"apptainer run {mounts.get(folder, '--writable-tmpfs')}"
            elif reason == READ_ONLY:
                fix = f"mount something writable at {folder}, or start without read_only and :ro"
            elif reason in FULL:
                fix = f"free space on the disk of {folder}: df -h"
            denied = reason == READ_ONLY or reason.startswith(OWNED)
            if (folder == site and reason == READ_ONLY) or (
                folder in (site, CODE) and denied and not UV.exists()
            ):
                way = f"; to allow it: {fix}" if reason == READ_ONLY else ""
                yield remark(f"{folder} is read-only ({reason}): {why}{way}")
            else:
                yield problem(f"{folder} cannot be written: {reason}", why, fix)
        else:
            fine.append(str(folder))
    yield ok(f"{', '.join(fine) or 'none'} writable")


def not_writable(folder: Path) -> str:
    """Return why no file can be created in `folder`, "" if one can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
    except OSError as error:
        if error.errno == errno.EROFS:
            return READ_ONLY
        if error.errno not in (errno.EACCES, errno.EPERM):
            return str(error.strerror).lower()
        owner = folder.stat()
        return (
            f"{OWNED}{owner.st_uid}:{owner.st_gid} ({stat.filemode(owner.st_mode)}), "
            f"you are {os.geteuid()}:{os.getegid()}"
        )
    return ""
