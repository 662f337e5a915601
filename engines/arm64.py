"""Run images for linux/arm64 on x86-64, with QEMU from Debian's sid and a small arm64 Debian.

QEMU before 10 crashes ONNX Runtime on import, so QEMU of a stable release does not work.
"""

import fcntl
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import debian
from engines.base_image import STAND_IN, import_image, present, root_file_system
from engines.engine import Engine
from engines.leftovers import in_use
from engines.steps import RUN, EngineError, cache, locked, run, workshop

PLATFORM = "linux/arm64"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
NAME = "capy-template-aarch64"  # another name than the system's own rule
# The first 20 bytes of a 64-bit little-endian ELF program for AArch64, and their mask.
MAGIC = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00"
MASK = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"


def emulator() -> Path:
    """Return QEMU for AArch64; download it once. The caller holds the lock."""
    program = cache() / f"qemu-aarch64-{debian.codename()}"
    if not program.exists():
        with workshop() as folder:
            [package] = debian.download(folder / "apt", ("qemu-user",), ())
            run("unpacking QEMU", ["dpkg-deb", "-x", package, folder / "tree"])
            (folder / "tree/usr/bin/qemu-aarch64").rename(program)
    return program


@contextmanager
def emulated() -> Iterator[None]:
    """Register QEMU with the kernel for AArch64 programs, also in containers; unregister it at the end.

    One run at a time: another one waits. Raises EngineError where that cannot be had.
    """
    if platform.machine() == "aarch64":
        yield
        return
    with locked():
        program = emulator()
    with lock_file().open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            register(program)
            yield
        finally:
            forget()


def register(program: Path) -> None:
    """Give the kernel our rule; the mount for it, where that is missing, has our name as its source."""
    forget()  # what a killed run left
    if not (BINFMT / "register").exists():
        run("mounting binfmt_misc", ["mount", "-t", "binfmt_misc", NAME, str(BINFMT)])
    try:
        (BINFMT / "register").write_bytes(rule(program))
    except OSError as error:
        raise EngineError(f"binfmt_misc takes no rule for {PLATFORM}: {error}") from None


def lock_file() -> Path:
    """Return the file on which a run that emulates holds a lock."""
    return RUN / "arm64.lock"


def rule(program: Path) -> bytes:
    """Return the rule for the kernel. F: it opens the emulator now, so containers need no copy."""
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in pattern) for pattern in (MAGIC, MASK))
    return f":{NAME}:M::{magic}:{mask}:{program}:F".encode()


def forget() -> None:
    """Take our rule back, and our mount, where there are any."""
    if (BINFMT / NAME).exists():
        (BINFMT / NAME).write_text("-1")
    if re.search(rf" {BINFMT} .* - binfmt_misc {NAME} ", Path("/proc/self/mountinfo").read_text()):
        run("unmounting binfmt_misc", ["umount", str(BINFMT)])


def forget_unless_in_use() -> None:
    """Take back what a killed run left. The caller holds the lock of all engines."""
    if not in_use(lock_file()):
        forget()


def base(engine: Engine) -> str:
    """Return the name of a small Debian image for arm64; make it if the engine does not have it.

    Called inside of `emulated`. Raises EngineError.
    """
    name = f"{STAND_IN}:debian-{debian.release().get('VERSION_ID', 'sid')}-arm64"
    if not present(name, engine):
        with locked():
            archive = root_file_system("arm64")
            import_image(engine, archive, name, f"--platform={PLATFORM}")
    return name
