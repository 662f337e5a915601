"""Run Podman from Debian's packages: a separate host for each release, with an ordinary user.

A root file system made by mmdebstrap in the cache, in mount and process namespaces for a `with` block:
this machine's own Podman is not used or changed. Containers use the machine's network.
"""

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines import cdi, debian, engine
from engines.leftovers import running_folder
from engines.processes import kill_with_descendants
from engines.steps import EngineError, cache, locked, wait_until, workshop

PACKAGES = (
    *("podman", "podman-compose", "crun", "uidmap", "fuse-overlayfs", "netavark", "catatonit"),
    *("ca-certificates", "iproute2", "procps"),
)
COMPOSE = "docker-compose"  # not in bookworm
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
USER, UID = "capy", 4321
START_SECONDS = 20
SETTINGS = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
# no more than this machine's root may raise it to
default_ulimits = ["nofile=1024:{files}", "nproc={processes}:{processes}"]
"""
# A new root, since user namespaces do not work in a chroot; cgroups v1 without the hybrid v2 tree, which
# crun refuses.
SET_UP = r"""
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mkdir -p var/lib/containers home run old
mount --bind "$2/containers" var/lib/containers
mount --bind "$2/home" home
mount --bind "$2/scratch" var/tmp  # builds mount overlays there, and an overlay is no place for one
mount -t proc proc proc
mount --rbind /sys sys
if [ -d sys/fs/cgroup/unified ]; then
    umount -R sys/fs/cgroup && mount -t tmpfs tmpfs sys/fs/cgroup
    for name in $(cut -d: -f2 /proc/self/cgroup); do
        [ "$name" ] || continue
        folder=sys/fs/cgroup/${name#name=} && mkdir "$folder"
        case $name in name=*) name=none,$name ;; esac
        mount -t cgroup -o "$name" none "$folder"
    done
fi
for folder in dev run tmp; do mount -t tmpfs -o mode=1777 tmpfs "$folder"; done
chmod 755 dev run
for name in null zero full random urandom tty fuse; do
    if [ -e "/dev/$name" ]; then touch "dev/$name" && mount --bind "/dev/$name" "dev/$name"; fi
done
for gpu in $5; do mknod -m 666 "dev/nvidia$gpu" c 1 3; done  # rootless containers get the host's own
mkdir dev/net dev/pts dev/shm
mknod -m 666 dev/net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%:*}" "dev/${number#*:}"; done
pivot_root . old
umount -l /old
mount --make-rshared /
cd /
mkdir -p "/run/user/$4" && chown "$4:$4" "/run/user/$4"
useradd --create-home --uid "$4" "$3" 2>/dev/null || id "$3" >/dev/null
touch /run/up
exec sleep infinity
"""


@dataclass(frozen=True)
class PodmanHost:
    """A running host; `home` is the path of its /home on this machine."""

    release: str
    process: int
    home: Path

    def command(self, *words: str, user: bool, folder: str = "/home", **settings: str) -> list[str]:
        """Return the command that runs another one on the host, as the ordinary user or as root."""
        uid = UID if user else 0
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": f"/home/{USER}" if user else "/root",
            "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            **({"XDG_RUNTIME_DIR": f"/run/user/{UID}"} if user else {}),
            **settings,
        }
        return [
            *("nsenter", f"--target={self.process}", "--mount", "--pid"),
            *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
            *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
            *("sh", "-c", 'cd "$0" && exec "$@"', folder, *words),
        ]

    def run(self, *words: str, user: bool, **options: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, see `command`, and wait for it."""
        command = self.command(*words, user=user, **options)
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def fetch(release: str) -> Path:
    """Return the root file system with a release's Podman; make it if the cache does not have it.

    Raises EngineError with mmdebstrap's message.
    """
    tree = cache() / f"podman-{release}"
    if tree.exists():
        return tree
    unpacked = debian.fetch()
    packages = [*PACKAGES, *([] if release == "bookworm" else [COMPOSE])]
    with workshop() as folder:
        text = f"making a Debian {release} with Podman"
        unpacked.bootstrap(text, release, folder / "tree", packages, [f"--aptopt={expiry()}"])
        (folder / "tree").rename(tree)
    return tree


def expiry() -> str:
    """Return this machine's apt setting for the age of package lists."""
    done = subprocess.run(
        ["apt-config", "dump", "Acquire::Check-Valid-Until"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or 'Acquire::Check-Valid-Until "true";'


@contextmanager
def podman_host(release: str) -> Iterator[PodmanHost]:
    """Start a host with a Debian release's Podman and GPUs by CDI, for a `with` block. Raises EngineError."""
    engine.refuse_unless_debian_and_root("Podman's tests start a host of their own: ")
    with locked():
        tree = fetch(release)
    with running_folder(f"podman-{release}") as folder:
        furnish(folder)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        with (folder / "log").open("wb") as log:
            holder = subprocess.Popen(
                [*command, "sh", "-ec", SET_UP, "sh", tree, folder, USER, str(UID), " ".join(cdi.GPUS)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: holder.poll() is not None or inner(holder.pid), "starting a host", START_SECONDS
            )
            if holder.poll() is not None or not inner(holder.pid):
                raise EngineError(f"no host with Podman: {(folder / 'log').read_text()[-400:].strip()}")
            yield PodmanHost(release, inner(holder.pid), folder / "home")
        finally:
            holder.send_signal(signal.SIGTERM)
            kill_with_descendants([holder.pid])  # and with the namespace's first process all others
            holder.wait()


def furnish(folder: Path) -> None:
    """Make the folders and the settings that a host has over its root file system."""
    for name in ("upper/etc/containers", "work", "root", "containers", "home", "scratch"):
        (folder / name).mkdir(parents=True)
    (folder / "scratch").chmod(0o1777)
    (folder / "upper/etc/containers/containers.conf").write_text(
        SETTINGS.format(
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            processes=resource.getrlimit(resource.RLIMIT_NPROC)[1],
        )
    )
    cdi.write_spec(folder / "upper/etc/cdi")
    if CERTIFICATES.exists():  # this machine's, for downloads on the host
        (folder / "upper" / CERTIFICATES.relative_to("/").parent).mkdir(parents=True)
        shutil.copy(CERTIFICATES, folder / "upper" / CERTIFICATES.relative_to("/"))


def inner(holder: int) -> int:
    """Return the first process of the namespace once everything is mounted, else 0."""
    try:
        [child] = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
        return int(child) if Path(f"/proc/{child}/root/run/up").exists() else 0
    except (OSError, ValueError):
        return 0
