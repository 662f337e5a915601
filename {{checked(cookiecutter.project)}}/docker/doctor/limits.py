"""Checks of the limits that an engine sets to each process of a container."""

from __future__ import annotations

import resource
from pathlib import Path

from .facts import Facts
from .findings import Finding, Findings, ok, problem

INFINIBAND = Path("/dev/infiniband")
MIB = 2**20


def check_limits(facts: Facts) -> Findings:
    """Check the limits of open files, stack and, for InfiniBand, locked memory."""
    files, stack, locked = map(
        soft_limit, (resource.RLIMIT_NOFILE, resource.RLIMIT_STACK, resource.RLIMIT_MEMLOCK)
    )
    if files < 8192:  # the least that Ray asks for
        yield low_limit(
            f"{files:.0f} open files",
            'a data loader holds one for each batch, then stops with "Too many open files"',
            "nofile=65536",
        )
    if stack < 8 * MIB:
        yield low_limit(
            f"{stack // 1024:.0f} KiB of stack",
            "compiled code with deep calls ends with a segmentation fault",
            f"stack={64 * MIB}",
        )
    if INFINIBAND.exists() and locked != float("inf"):
        yield low_limit(
            f"{locked // 1024:.0f} KiB of locked memory",
            "NCCL registers its buffers for InfiniBand there, and fails",
            "memlock=-1",
        )
    yield ok(f"{files:.0f} open files")


def soft_limit(kind: int) -> float:
    """Return the limit in force, infinity where there is none."""
    soft = resource.getrlimit(kind)[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def low_limit(what: str, why: str, line: str) -> Finding:
    """Make a problem; `line` is what `docker run --ulimit` takes."""
    return problem(
        f"the limit is {what}",
        why,
        "ulimits: {" + line.replace("=", ": ") + "} in compose.project.yaml, and a new container "
        f"(docker run: --ulimit {line})",
    )
