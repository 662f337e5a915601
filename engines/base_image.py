"""Provide a base image for the tests: the wanted one, else a plain Debian under another name.

    python -m engines.base_image nvcr.io/nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04

prints the name of the image to use. The stand-in never gets NVIDIA's or Ubuntu's name: other
users of the engine would take it for theirs.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from engines import debian
from engines.engine import Engine, find_or_start, guarded
from engines.steps import EngineError, cache, locked, say, workshop

STAND_IN = "capy-template/stand-in-base"
ANSWER_SECONDS = 20  # for the registry's first answer
PULL_SECONDS = 1800  # NVIDIA's images have gigabytes
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# As in Debian's own image: no package lists, archives, manuals or translations in a layer.
APT_CONF = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/*.bin /var/cache/apt/archives/*.deb || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/*.bin /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
"""


@dataclass(frozen=True)
class Base:
    """A base image that the engine has."""

    name: str
    stand_in: bool
    why: str  # one line: where it is from, or why the stand-in is used


def base_image(wanted: str, engine: Engine) -> Base:
    """Return the wanted image, pulled if possible, else the stand-in.

    Raises EngineError if neither is available.
    """
    if present(wanted, engine):
        return Base(wanted, wanted.startswith(STAND_IN), "present in the engine")
    try:
        # Ask for the manifest first, with a short time limit: a pull of gigabytes cannot have one.
        engine.docker("manifest", "inspect", wanted, limit=ANSWER_SECONDS)
        say(f"pulling {wanted}")
        engine.docker("pull", wanted, limit=PULL_SECONDS)
    except EngineError as error:
        return Base(stand_in(wanted, str(error), engine), True, f"{wanted} cannot be pulled: {error}")
    return Base(wanted, False, "pulled")


def present(name: str, engine: Engine) -> bool:
    """Return whether the engine has an image."""
    try:
        engine.docker("image", "inspect", name)
    except EngineError:
        return False
    return True


def stand_in(wanted: str, reason: str, engine: Engine) -> str:
    """Return the name of the stand-in; make it if the engine does not have it.

    Raises EngineError if it cannot be made; `reason`: why the wanted image is not available.
    """
    release = debian.release()
    name = f"{STAND_IN}:debian-{release.get('VERSION_ID', 'sid')}-with-uid-1000"
    if present(name, engine):
        return name
    if release.get("ID") != "debian" or os.geteuid() != 0:
        needs = "a stand-in for it needs Debian and root"
        raise EngineError(f"{wanted} cannot be pulled ({reason}); {needs}")
    with locked():
        archive = root_file_system()
        if not present(name, engine):  # another process may have made it
            import_image(engine, archive, name)
    return name


def import_image(engine: Engine, archive: Path, name: str, *options: str) -> None:
    """Import a root file system as an image. Raises EngineError."""
    changes = [f"ENV PATH={PATH}", 'CMD ["bash"]', "LABEL capy-template.stand-in=true"]
    engine.docker("import", *options, *(f"--change={change}" for change in changes), archive, name)


def root_file_system(processor: str = "") -> Path:
    """Return a small Debian of this machine's release as a tar archive; make it if it is missing.

    `processor`: another processor, by Debian's name, whose programs run here by emulation.
    """
    archive = cache() / f"base-{debian.codename()}-{processor or 'with-uid-1000'}.tar"
    if archive.exists():
        return archive
    unpacked = debian.fetch()
    with workshop() as folder:
        (folder / "docker-clean").write_text(APT_CONF)
        options = ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
        # mmdebstrap's own check for emulation needs a package that is not installed
        options += [f"--architectures={processor}", "--skip=check/qemu"] if processor else []
        options += [f"--customize-hook=cp {folder}/docker-clean $1/etc/apt/apt.conf.d/"]
        # as in Ubuntu 24.04, whose user with uid 1000 breaks many entrypoints
        options += ["--customize-hook=chroot $1 useradd --create-home --uid 1000 ubuntu"]
        options += ["--customize-hook=rm -f $1/etc/resolv.conf $1/etc/hostname $1/var/cache/apt/*.bin"]
        suite = debian.codename()
        text = f"making a small Debian {suite}"
        unpacked.bootstrap(text, suite, folder / "base.tar", ["ca-certificates"], options)
        (folder / "base.tar").rename(archive)
    return archive


def main(wanted: str) -> int:
    """Print the name of the image to use, and a warning if it is a stand-in."""
    base = base_image(wanted, find_or_start())
    if base.stand_in:
        say(f"STAND-IN: {base.name} is a plain Debian, NOT {wanted} ({base.why})")
    print(base.name)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m engines.base_image", description=__doc__.splitlines()[0])
    parser.add_argument("wanted", help="the image to use if it is available")
    arguments = parser.parse_args()
    sys.exit(guarded(lambda: main(arguments.wanted)))
