"""Unpack Docker from Debian's archive into the cache folder, without installing anything.

Debian's sid has the current Docker, which runs on stable releases with their own runc and iptables.
apt works in private folders: the system's sources, lists and state are not changed.
"""

import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.steps import EngineError, cache, run, say, workshop

FROM_SID = ("docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx")
FROM_RELEASE = ("runc", "iptables", "tini", "mmdebstrap")
ROOTLESS = ("rootlesskit", "uidmap")  # also needed for a rootless engine
FROM_SUITE = {  # older Docker Engines, for tests; `docker` itself is in docker.io there
    "bookworm": ("docker.io", "containerd"),
    "trixie": ("docker.io", "docker-cli", "containerd", "docker-compose", "docker-buildx"),
}
CLIENT_MAJOR = 28  # of the oldest docker command that is preferred to sid's
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
NEEDED_BYTES = 1_500_000_000  # lists, packages and the unpacked tree
NO_NETWORK = re.compile(r"resolv|connect|unreachable|timed out|failed to fetch", re.IGNORECASE)

# `#clear`: the system's hooks after an update would change the system's own folders.
APT_CONF = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "{folder}/none";
Dir::Etc::preferencesparts "{folder}/empty";
Dir::State "{folder}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{folder}/cache";
APT::Default-Release "{release}";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Debug::NoLocking "true";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


@dataclass(frozen=True)
class Tree:
    """The unpacked packages; the folder `client` has what the users of an engine need."""

    root: Path

    def client(self) -> dict[str, str]:
        """Return the variables for users of an engine: docker and its plugins.

        A recent docker of this machine is preferred: sid's takes 40 ms longer to start, which is two thirds
        of a short command (github.com/mattn/go-runewidth/issues/104).
        """
        programs = str(self.root / "client/bin")
        path = [part for part in os.environ.get("PATH", os.defpath).split(":") if part != programs]
        own = shutil.which("docker", path=":".join(path))
        first = [] if own and client_major(own) >= CLIENT_MAJOR else [programs]
        return {"DOCKER_CONFIG": str(self.root / "client/config"), "PATH": ":".join([*first, *path])}

    def server(self) -> dict[str, str]:
        """Return an environment in which the programs find each other and their libraries."""
        added = {
            "PATH": self.search("usr/sbin", "usr/bin") + ":" + os.environ.get("PATH", os.defpath),
            "LD_LIBRARY_PATH": self.search("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"),
            "PERL5LIB": self.search("usr/share/perl5", "usr/share/perl/*", "usr/lib/*/perl*/*"),
            "XTABLES_LIBDIR": self.search("usr/lib/*/xtables"),
        }
        # Empty: this system has the package itself.
        return {**os.environ, **{name: value for name, value in added.items() if value}}

    def bootstrap(
        self, text: str, suite: str, target: Path, packages: Sequence[str], options: Sequence[str]
    ) -> None:
        """Make a Debian of a suite with these packages, without documentation, as a folder or a tar archive.

        `text`: for the progress line; `options`: more of mmdebstrap's. Raises EngineError.
        """
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}"]
        command += [f"--keyring={KEYRING}", *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT)]
        command += [*options, suite, target, archive()]
        run(text, command, env={**self.server(), "TMPDIR": str(target.parent)})

    def search(self, *patterns: str) -> str:
        """Return a search path of the tree's folders that match."""
        return ":".join(str(found) for pattern in patterns for found in self.root.glob(pattern))


@functools.cache
def client_major(program: str) -> int:
    """Return the major version of a docker command, 0 if it is another program or does not run."""
    try:
        asked = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"Docker version (\d+)\.", asked.stdout)
    return int(found[1]) if found else 0


def release() -> dict[str, str]:
    """Return /etc/os-release as Python reads it, empty if it is missing."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def codename() -> str:
    """Return the codename of this machine's release."""
    return release().get("VERSION_CODENAME", "sid")


def archive() -> str:
    """Return the URI of Debian's archive from this machine's apt settings.

    Raises EngineError if apt has no entry for this machine's release.
    """
    command = ["apt-get", "update", "--print-uris"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(rf"^'(\S+?)/?/dists/{codename()}/main/binary-", listed.stdout, re.MULTILINE)
    if not found:
        raise EngineError(f"apt has no source for Debian {codename()} main: add it to /etc/apt")
    return found[1]


def fetch() -> Tree:
    """Return the unpacked packages; download them if the cache does not have them.

    The tree gets its name when it is complete and its dockerd runs, so an interrupted download is
    repeated. The caller holds the lock.
    Raises EngineError without a source, network or disk space, or if the packages do not run here.
    """
    tree = cache() / f"debian-{codename()}"
    if tree.exists():
        return Tree(tree)
    if shutil.disk_usage(cache()).free < NEEDED_BYTES:
        needed = f"{NEEDED_BYTES / 1e9} GB of free space"
        raise EngineError(f"{cache()} needs {needed}: free disk space, or set XDG_CACHE_HOME")
    if not KEYRING.exists():
        raise EngineError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
    with workshop() as folder:
        packages = download(folder / "apt", FROM_SID, FROM_RELEASE)
        unpacked = folder / "tree"
        unpack(packages, unpacked)
        check(unpacked)
        unpacked.rename(tree)
    say(f"unpacked into {tree}")
    return Tree(tree)


def fetch_rootless() -> Path:
    """Return the folder with the additional packages of a rootless engine; download them once."""
    return fetch_packages(f"rootless-{codename()}", (), ROOTLESS)


def fetch_release(suite: str) -> Tree:
    """Return the unpacked Docker of another Debian release; download it once."""
    return Tree(fetch_packages(f"docker-of-{suite}", FROM_SUITE[suite], (), suite))


def fetch_packages(name: str, packages: tuple[str, ...], stable: tuple[str, ...], suite: str = "sid") -> Path:
    """Return a cache folder with these packages unpacked; download them once."""
    tree = cache() / name
    if not tree.exists():
        with workshop() as folder:
            files = download(folder / "apt", packages, stable, suite)
            extract(files, folder / "tree")
            (folder / "tree").rename(tree)
    return tree


def download(
    folder: Path, packages: tuple[str, ...], stable: tuple[str, ...], suite: str = "sid"
) -> list[Path]:
    """Download packages of a suite, and the packages `stable` with missing libraries.

    apt works inside the folder only. Raises EngineError.
    """
    for name in ("empty", "state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    suites = dict.fromkeys([codename(), suite])
    lines = [f"deb [signed-by={KEYRING}] {archive()} {suite} main\n" for suite in suites]
    (folder / "sources.list").write_text("".join(lines))
    (folder / "apt.conf").write_text(APT_CONF.format(folder=folder, release=codename()))
    apt = ["apt-get", "-c", folder / "apt.conf"]
    archives = folder / "cache/archives"
    try:
        run(f"reading Debian's package lists ({' and '.join(suites)})", [*apt, "update"])
        # Without dependencies: sid's libraries do not fit a stable release.
        if packages:
            named = [f"{name}/{suite}" for name in packages]
            run(f"downloading {packages[0]} from {suite}", [*apt, "download", *named], cwd=archives)
        if stable:
            rest = [*apt, "install", "--download-only", *stable]
            run(f"downloading {' and '.join(stable[:2])} from {codename()}", rest)
    except EngineError as error:
        hint = "no network for the download? " if NO_NETWORK.search(str(error)) else ""
        raise EngineError(f"{hint}{error}") from None
    return sorted(archives.glob("*.deb"))


def unpack(packages: list[Path], tree: Path) -> None:
    """Unpack the packages and create the links of Debian's maintainer scripts."""
    extract(packages, tree)
    for program in ("iptables", "ip6tables"):
        if (tree / f"usr/sbin/{program}-nft").exists():
            (tree / f"usr/sbin/{program}").symlink_to(f"{program}-nft")
    plugins = tree / "client/config/cli-plugins"
    plugins.mkdir(parents=True)
    for plugin in (tree / "usr/libexec/docker/cli-plugins").iterdir():
        (plugins / plugin.name).symlink_to(f"../../../usr/libexec/docker/cli-plugins/{plugin.name}")
    (tree / "client/bin").mkdir()
    (tree / "client/bin/docker").symlink_to("../../usr/bin/docker")


def extract(packages: list[Path], tree: Path) -> None:
    """Unpack the files of packages into a folder."""
    loop = 'for package; do dpkg-deb -x "$package" "$0"; done'
    run(f"unpacking {len(packages)} packages", ["sh", "-ec", loop, tree, *packages])


def check(tree: Path) -> None:
    """Raise EngineError if the unpacked programs do not run: sid may be too new for an old release."""
    loop = 'for program; do "$program" --version; done'
    programs = ("dockerd", "containerd", "runc", "iptables")
    run(
        f"trying sid's Docker on {codename()}",
        ["sh", "-ec", loop, "sh", *programs],
        env=Tree(tree).server(),
    )
