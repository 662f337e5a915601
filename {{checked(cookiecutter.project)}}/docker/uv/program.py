"""Start uv and the doctor."""

from __future__ import annotations

{% if not cookiecutter.__index_url %}
import json
{% endif %}
import os
import re
import shutil
import subprocess
import sys
{% if not cookiecutter.__index_url %}
import tempfile
{% endif %}
from pathlib import Path

from arguments import split
{% if cookiecutter.__index_url %}
from handover import take
{% endif %}
from workspace import project, read, workspace

UV = ["/usr/local/bin/with-network", "/opt/uv/bin/uv"]
WRAPPER = "/usr/local/bin/uv"  # starts this folder
DOCTOR = "/usr/local/bin/doctor"
RESOLVE = ("add", "remove", "lock", "sync", "tree", "export", "version")  # with all packages
{% if cookiecutter.__index_url %}
WITH_INDEX = ["/usr/local/bin/with-index"]
# Only these commands get the login: `run` and `tool` would pass it on to other programs.
WITH_LOGIN = ("add", "remove", "sync", "lock", "tree", "export", "version", "pip", "build")
# The entrypoint read it from PIP_CONF and NETRC. Taken here, before any other program starts.
LOGIN = take()
{% endif %}


def uv(words: list[str]) -> int:
    """Run /opt/uv/bin/uv and return its exit code."""
    command, environment = called(words)
    try:
        code = subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        return 130
    if code in (1, 2) and needs_git(words) and not shutil.which("git"):
        say("git, which a package needs, is in the dev container only: run this command there")
    return code


def called(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs uv, and its environment{{ ', with a login if it needs one' if cookiecutter.__index_url }}."""
{% if cookiecutter.__index_url %}
    command, options, _ = split(words)
    if command[:1] and command[0] in WITH_LOGIN:
        words = [*WITH_INDEX, "--project", str(project(options)), UV[-1], *words]
        return [*UV[:-1], *words], {**os.environ, "INDEX_LOGIN": LOGIN}
    return [*UV, *words], without_password()


def without_password() -> dict[str, str]:
    """Return the environment without PYPI_PASSWORD, for programs of third parties."""
    return {name: value for name, value in os.environ.items() if name != "PYPI_PASSWORD"}
{% else %}
    mirror = os.environ.get("PUBLIC_INDEX_URL")
    if not mirror or split(words)[0] != ["add"]:
        return [*UV, *words], dict(os.environ)
    # uv would write a mirror of the environment into pyproject.toml
    settings = Path(tempfile.mkdtemp(), "uv/uv.toml")
    settings.parent.mkdir()
    settings.write_text(f"[[index]]\nurl = {json.dumps(mirror)}\ndefault = true\n")
    made = ["env", "--unset=UV_DEFAULT_INDEX", f"XDG_CONFIG_HOME={settings.parents[1]}"]
    return [*UV[:-1], *made, UV[-1], *words], dict(os.environ)
{% endif %}


def needs_git(words: list[str]) -> bool:
    """Return whether a command has a package from git: in its words or in the project's files."""
    command, options, _ = split(words)
    folder = project(options)
    texts = [" ".join(words).encode()]
    if {*command[:1]} & {*RESOLVE}:
        texts += [read(folder / "pyproject.toml"), read(workspace(folder) / "uv.lock")]
    return any(re.search(rb"""\bgit *= *["']|git\+""", text or b"") for text in texts)


def replace_another_uv() -> None:
    """Put this program in the place of a uv that a package has brought: it stands first in PATH."""
    other = Path(os.environ.get("UV_PROJECT_ENVIRONMENT") or "/opt/venv", "bin/uv")
    if other.is_file() and not other.is_symlink():
        other.unlink()
        other.symlink_to(WRAPPER)


def doctor() -> int:
    """Let the doctor check the packages (a build does so at its end); return its exit code."""
    if os.environ.get("UV_WITHOUT_DOCTOR") or not Path(DOCTOR).exists():
        return 0
    return subprocess.call([DOCTOR, "--packages"]{{ ', env=without_password()' if cookiecutter.__index_url }})


def say(text: str) -> None:
    """Print a message to stderr."""
    print(f"uv: {text}", file=sys.stderr)
