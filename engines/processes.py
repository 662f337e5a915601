"""Read processes and mounts of this Linux machine from /proc, end and unmount them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield the id and the arguments of each process; a zombie has none."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            words = (process / "cmdline").read_text(errors="replace").split("\0")
            yield int(process.name), words


def kill_with_descendants(pids: Collection[int]) -> None:
    """Kill processes and their descendants: those of a container are children of its shim."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (process / "stat").read_text(errors="replace").rpartition(")")[2]
            parents[int(process.name)] = int(after_name.split()[1])
    family = list(pids)
    for pid in family:  # grows while it is read
        family += [child for child, parent in parents.items() if parent == pid]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def unmount(folder: Path) -> None:
    """Unmount everything at and below a folder, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for mount in reversed([line.split()[4] for line in lines]):
        if f"{mount}/".startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mount], check=False)


def packet_size() -> str:
    """Return the MTU of the interface with the default route; larger packets are lost."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination = line.split()[:2]
        if destination == "00000000":
            return Path(f"/sys/class/net/{interface}/mtu").read_text().strip()
    return "1500"
