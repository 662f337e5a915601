"""Run a Slurm cluster of one node with Apptainer and Charliecloud from Debian's sid.

Nothing is installed: its root file system is made once, and each cluster writes to its own overlay. It runs
in its own namespaces, and its only network is its own loopback.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines import debian, engine
from engines.leftovers import running_folder
from engines.steps import EngineError, cache, locked, wait_until, workshop

PACKAGES = ("ca-certificates", "slurm-wlm", "apptainer", "charliecloud-runtime", "charliecloud-builders")
PACKAGES += ("squashfs-tools", "iproute2")
UID, HOME = 4321, "/home/user"
GPUS = 4
START_SECONDS = 30
# As many as a job of docs/slurm.md requests, whatever this machine has.
CPUS, MEMORY_MIB = 16, 64_000

# The GPUs are /dev/null: enough for Slurm to count and allocate them.
CONFIG = f"""\
ClusterName=capy
SlurmctldHost=localhost(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/slurm
CredType=auth/slurm
SlurmUser=root
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurmctld.log
SlurmdLogFile=/var/log/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MIB} Gres=gpu:{GPUS}
PartitionName=main Nodes=localhost Default=YES State=UP
"""
FILES = {
    "etc/slurm/slurm.conf": CONFIG,
    "etc/slurm/gres.conf": f"AutoDetect=off\nName=gpu File=/dev/nvidia[0-{GPUS - 1}]\n",
    "etc/slurm/cgroup.conf": "CgroupPlugin=disabled\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "localhost\n",
}
# Runs in its own namespaces; $1 is the base, $2 the folder of the overlay, $3 the user's HOME.
# `pivot_root`, since Apptainer's user namespaces do not work in a chroot.
INIT = f"""
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do
    touch "dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
mknod -m 666 dev/fuse c 10 229  # as udev makes it; this machine's may be closed
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in $(seq 0 {GPUS - 1}); do mknod -m 666 "dev/nvidia$number" c 1 3; done
mount --bind "$3" .{HOME}
pivot_root . mnt
cd /
umount --lazy /mnt
hostname localhost
ip link set lo up
# the libc counts IPv4 as missing where 127.0.0.1 is the only address
ip address add 127.0.0.2/8 dev lo
slurmctld
exec slurmd -D
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its first process, and the path of the user's home on this machine."""

    pid: int
    home: Path

    def run(self, command: str, folder: str = HOME) -> subprocess.CompletedProcess[str]:
        """Run shell commands as the user, as from a login on the cluster."""
        return subprocess.run(
            [*self.enter(), "sh", "-c", 'cd "$1" && exec bash -c "$2"', "sh", folder, command],
            env={"HOME": HOME, "USER": "user", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def enter(self) -> list[str]:
        """Return the command with which root runs a command of the user in the cluster."""
        spaces = [f"--{name}" for name in ("mount", "uts", "ipc", "net", "pid", "root")]
        ids = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        return ["nsenter", f"--target={self.pid}", *spaces, f"--wdns={HOME}", "setpriv", *ids, "--"]


@contextmanager
def slurm_cluster() -> Iterator[Cluster]:
    """Start a cluster for a `with` block; its user 4321 has an empty home folder. Raises EngineError."""
    engine.refuse_unless_debian_and_root()
    with locked():
        base = root_file_system()
    with running_folder("slurm") as folder:
        for name in ("upper", "work", "root", "home"):
            (folder / name).mkdir()
        home = folder / "home"
        os.chown(home, UID, UID)
        spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
        command = ["unshare", *spaces, "sh", "-euc", INIT, "sh", base, folder, home]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield wait_for_node(process, folder)
        finally:
            process.kill()
            process.wait()
            time.sleep(0.5)  # the mounts go with the last process of the namespace


def wait_for_node(process: subprocess.Popen, folder: Path) -> Cluster:
    """Return the cluster when its node accepts jobs. Raises EngineError with the end of its log."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def idle() -> bool:
        child = children.read_text().split() if process.poll() is None else []
        return bool(child) and "idle" in Cluster(int(child[0]), folder / "home").run("sinfo -h -o %t").stdout

    if not wait_until(idle, "waiting for Slurm's node", START_SECONDS) or process.poll() is not None:
        lines = [
            line
            for log in (folder / "log", *(folder / "upper/var/log").glob("slurm*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if "error" in line or log.name == "log"
        ]
        raise EngineError(f"Slurm did not start: {' / '.join(lines[-3:])}")
    return Cluster(int(children.read_text().split()[0]), folder / "home")


def root_file_system() -> Path:
    """Return the folder of the root file system; make it if it is missing. The caller holds the lock."""
    tree = cache() / "slurm-sid"
    if tree.exists():
        return tree
    unpacked = debian.fetch()
    with workshop() as folder:
        text = "making a Debian sid with Slurm and Apptainer"
        # a mirror may be outdated; the signature is checked all the same
        options = ['--aptopt=Acquire::Check-Valid-Until "false"']
        unpacked.bootstrap(text, "sid", folder / "root", PACKAGES, options)
        furnish(folder / "root")
        (folder / "root").rename(tree)
    return tree


def furnish(root: Path) -> None:
    """Write Slurm's configuration and the user into a root file system."""
    for name, text in FILES.items():
        (root / name).write_text(text)
    key = root / "etc/slurm/slurm.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for name in (f".{HOME}", "var/spool/slurmctld", "var/spool/slurmd"):
        (root / name).mkdir(parents=True, exist_ok=True)
    with (root / "etc/passwd").open("a") as users, (root / "etc/group").open("a") as groups:
        users.write(f"user:x:{UID}:{UID}::{HOME}:/bin/bash\n")
        groups.write(f"user:x:{UID}:\n")
