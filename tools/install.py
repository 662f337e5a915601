"""Install the packages of requirements.lock into this Python's environment, with the pinned uv."""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

LOCK = Path("requirements.lock")
PIP = [sys.executable, "-m", "pip"]
# uv reads none of pip's settings; with hashes, any index may provide a package
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
}


def main() -> int:
    """Install uv by pip, then everything by uv, and return the exit status."""
    pip_options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--requirement"]
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder, "uv.txt")
        only_uv.write_text(pin("uv", LOCK.read_text(encoding="utf-8")), encoding="utf-8")
        by_pip = subprocess.run([*PIP, "install", *pip_options, only_uv])
    if by_pip.returncode:
        return by_pip.returncode
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", sys.executable]
    # --system-certs: as pip does, trust what the machine trusts
    uv += ["--system-certs", "--index-strategy", "unsafe-best-match"]
    uv += ["--require-hashes", "--requirement", LOCK]
    settings = pip_settings()
    if settings.get("no-index") in ("1", "true", "yes", "on"):  # uv has no variable for it
        uv.append("--no-index")
    return subprocess.run(uv, env=uv_environment(settings)).returncode


def pin(name: str, lock: str) -> str:
    """Return the lines of a package in a lock file: its version and its hashes."""
    return re.search(rf"^{name}==.*\n(?: .*\n)*", lock, re.MULTILINE)[0]


def uv_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with pip's settings for uv, where uv's own are not set."""
    found = {}
    for name, variable in UV_VARIABLES.items():
        if name in settings:
            found[variable] = ("," if name == "find-links" else " ").join(settings[name].split())
    return {**found, **os.environ}


def pip_settings() -> Mapping[str, str]:
    """Return pip's settings from its files and environment, as `{"index-url": …}`; the environment wins."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    found = re.findall(r"^(:env:|global|install)\.([a-z-]+)=(.+)$", listed, re.MULTILINE)
    ordered = sorted(found, key=lambda setting: ("global", "install", ":env:").index(setting[0]))
    # sorted by the names of the files: of a setting that two of them have, pip itself knows which one counts
    times = Counter((section, name) for section, name, _ in found)
    return {
        name: ast.literal_eval(value) if times[section, name] == 1 else pip_setting(f"{section}.{name}")
        for section, name, value in ordered
    }


def pip_setting(key: str) -> str:
    """Return one of pip's settings, of the file that counts."""
    return subprocess.run(
        [*PIP, "config", "get", key], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tools.install", description=__doc__.splitlines()[0]).parse_args()
    sys.exit(main())
