"""Check the limits that an engine sets for each process of a container."""

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
    if files < 8192:  # Ray's minimum
        yield low_limit(
            f"{files:.0f} open files",
            'a data loader needs one for each batch, and fails with "Too many open files"',
            "nofile=65536",
        )
    if stack < 8 * MIB:
        yield low_limit(
            f"{stack // 1024:.0f} KiB of stack",
            "deep calls in compiled code end in a segmentation fault",
            f"stack={64 * MIB}",
        )
    if INFINIBAND.exists() and locked != float("inf"):
        yield low_limit(
            f"{locked // 1024:.0f} KiB of locked memory",
            "NCCL cannot register its buffers for InfiniBand",
            "memlock=-1",
        )
    yield ok(f"{files:.0f} open files")


def soft_limit(kind: int) -> float:
    """Return the soft limit, infinity if there is none."""
    soft = resource.getrlimit(kind)[0]
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def low_limit(what: str, why: str, line: str) -> Finding:
    """Make a problem; `line` is the argument of `docker run --ulimit`."""
    return problem(
        f"the limit is {what}",
        why,
        "write ulimits: {" + line.replace("=", ": ") + "} into compose.project.yaml and start a "
        f"new container (docker run: --ulimit {line})",
    )
