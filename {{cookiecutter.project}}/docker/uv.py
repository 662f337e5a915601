{% set stack = cookiecutter | stack %}
#!/usr/bin/python3 -I
"""uv, as it is called in this image: {{ 'with the private index, ' if cookiecutter.__index_url }}for the packages that ACCELERATOR chose.

The program itself is /opt/uv/bin/uv; it would sync without the extra of ACCELERATOR, and so remove its packages.
After each change of the environment the doctor looks at the packages, and its exit code is this one's.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
{% if stack.cuda_from == 'ngc' %}
from importlib.metadata import distributions
{% endif %}
from pathlib import Path

UV = ["/usr/local/bin/with-network", {{ '"/usr/local/bin/with-index", ' if cookiecutter.__index_url }}"/opt/uv/bin/uv"]
DOCTOR = "/usr/local/bin/doctor"
# uv's global options: they hold for each step of a command.
GLOBAL = {"--quiet", "--verbose", "--offline", "--no-progress", "--no-cache", "--no-config", "--system-certs"}
WITH_VALUE = {"--color", "--directory", "--project", "--config-file", "--cache-dir", "--allow-insecure-host"}
# With one of these, uv is told what to sync, or not to.
CHOSEN = ("--extra", "--all-extras", "--only-group", "--only-dev", "--script")
NOT_SYNCED = ("--no-sync", "--frozen", "--script")
INFORMS = ("--help", "-h", "--version", "-V")


def main(words: list[str]) -> int:
    """Run uv with the words of a command line; return the exit code."""
    command, options = split(words)
    if not command or given(words, *INFORMS):
        return uv(words)
    if command[0] == "run":
        os.environ["UV_NO_SYNC"] = "1"
        os.execv(UV[0], [*UV, *words])
    if command[0] in ("add", "remove") and not given(words, *NOT_SYNCED):
        failed = change(words, command[0], options)
    elif command[0] == "sync" and not given(words, *CHOSEN):
        failed = uv([*words, *accelerator()])
    else:
        failed = uv(words)
        if command[0] != "sync" and command not in (["pip", "install"], ["pip", "uninstall"], ["pip", "sync"]):
            return failed
    return failed or look()


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the command, such as ["pip", "install"], and uv's global options, wherever they stand."""
    command, options, rest = [], [], iter(words)
    for word in rest:
        if word in WITH_VALUE:
            options += [word, next(rest, "")]
        elif word in GLOBAL or re.fullmatch("-[nqv]+", word) or word.partition("=")[0] in WITH_VALUE:
            options.append(word)
        elif not word.startswith("-") and (not command or command == ["pip"]):
            command.append(word)
    return command, options


def given(words: list[str], *options: str) -> bool:
    """Return whether one of the options is among the words, also as --option=value."""
    return any(word.partition("=")[0] in options for word in words)


def change(words: list[str], command: str, options: list[str]) -> int:
    """Add or remove a package; what fails leaves pyproject.toml and uv.lock as they were."""
    folder = project(options)
    before = {path: read(path) for path in (folder / "pyproject.toml", folder / "uv.lock")}
    os.environ["UV_NO_SYNC"] = "1"
    failed = 1
    try:
        failed = uv(words)
        del os.environ["UV_NO_SYNC"]
        if failed:
            if given_git(words) and not shutil.which("git"):
                print("uv: git is in the dev container alone: add this package there", file=sys.stderr)
            return failed
        # as uv does it: only a removal takes away what is in no list, such as from `uv pip install`
        failed = uv([*options, "sync", *(["--inexact"] if command == "add" else []), *accelerator()])
    finally:
        if failed:
            restore(before)
    if failed:
        print("uv: it could not be installed, so pyproject.toml and uv.lock are as they were", file=sys.stderr)
        if not shutil.which("cc"):
            print(
                "uv: a package without a wheel needs a compiler; the build of the image has one: "
                "uv add --no-sync NAME, then docker compose build",
                file=sys.stderr,
            )
    return failed


def given_git(words: list[str]) -> bool:
    """Return whether a package comes from a git repository."""
    return any(word.startswith("git+") or "@ git+" in word for word in words)


def project(options: list[str]) -> Path:
    """Return the folder of the pyproject.toml that uv changes."""
    named = [value for name, value in zip(options, options[1:]) if name in ("--project", "--directory")]
    start = Path(*named).resolve()
    return next((folder for folder in (start, *start.parents) if (folder / "pyproject.toml").is_file()), start)


def read(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none."""
    return path.read_bytes() if path.is_file() else None


def restore(before: dict[Path, bytes | None]) -> None:
    """Give the files their content of before."""
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        elif read(path) != content:
            path.write_bytes(content)


def accelerator() -> list[str]:
    """Return the options of `uv sync` for what this environment is made of."""
    group = os.environ.get("SYNC_GROUP")
    options = ["--extra", os.environ.get("ACCELERATOR") or "nvidia", *(["--group", group] if group else [])]
{% if stack.cuda_from == 'ngc' %}
    # What NVIDIA's image brings stays. Inexact: uv would remove those packages that it may not install.
    names = {distribution.metadata["Name"] for distribution in distributions()} - {None}
    if "opencv" in names:  # NVIDIA's own build of OpenCV; the index's would overwrite half of it
        names.add("opencv-python-headless")
    options += ["--inexact", *(f"--no-install-package={name}" for name in sorted(names))]
{% endif %}
    return options


def look() -> int:
    """Have the doctor look at the packages; in a build it does that once, at the end."""
    if os.environ.get("UV_WITHOUT_DOCTOR") or not Path(DOCTOR).exists():
        return 0
    return subprocess.call([DOCTOR, "--packages"])


def uv(words: list[str]) -> int:
    """Run the program itself; return its exit code."""
    try:
        return subprocess.call([*UV, *words])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a change is undone
    sys.exit(main(sys.argv[1:]))
