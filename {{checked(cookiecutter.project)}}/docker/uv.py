{% set stack = cookiecutter | stack %}
#!/usr/bin/python3 -IB
"""Run uv{{ ' with the login of the private index,' if cookiecutter.__index_url }} and keep the packages of ACCELERATOR.

uv itself is /opt/uv/bin/uv: without the extra of ACCELERATOR, its sync would remove those packages.
After each change the doctor checks what is installed; this script returns its exit code.
"""

{% if not cookiecutter.__index_url %}
import json
{% endif %}
import os
import re
import shutil
import signal
import subprocess
import sys
{% if not cookiecutter.__index_url %}
import tempfile
{% endif %}
{% if stack.cuda_from == 'ngc' %}
from importlib.metadata import distributions
{% endif %}
from pathlib import Path
{% if cookiecutter.__index_url %}

sys.path.append("/usr/local/lib/with-index")
from confusion import refusal
from handover import take
{% endif %}

OWN = os.path.realpath(__file__)  # also where a link led here
UV = ["/usr/local/bin/with-network", "/opt/uv/bin/uv"]
{% if cookiecutter.__index_url %}
WITH_INDEX = ["/usr/local/bin/with-index"]
# Only these commands get the login: `run` and `tool` would pass it on to other programs.
WITH_LOGIN = ("add", "remove", "sync", "lock", "tree", "export", "version", "pip", "build")
LOGIN = take()  # the entrypoint read it from PIP_CONF and NETRC
{% endif %}
DOCTOR = "/usr/local/bin/doctor"
ENTRYPOINT = "/usr/local/bin/entrypoint"
# uv's global options, passed to each step of a command; those WITH_VALUE take a value.
GLOBAL = ("--quiet", "--verbose", "--offline", "--no-progress", "--no-cache", "--no-config")
GLOBAL += ("--system-certs", "--native-tls")
WITH_VALUE = ("--color", "--directory", "--project", "--config-file", "--cache-dir")
WITH_VALUE += ("--allow-insecure-host", "--trusted-host", "--refresh-package")
WITH_VALUE += ("--preview-features", "--preview-feature")
WITH_VALUE += ("--python-preference", "--python-fetch")
# With one of these, the command line itself says what to sync.
CHOSEN = ("--all-extras", "--only-group", "--only-dev", "--script")
ACCELERATORS = ("nvidia", "cpu")
OF_A_PART = ("--package", "--project", "--directory")
NOT_SYNCED = ("--no-sync", "--frozen", "--script")
RESOLVE = ("add", "remove", "lock", "sync", "tree", "export", "version")  # with all packages
OFF = ("", "0", "false", "no", "off", "n", "f")  # what uv reads as no
INFORMS = ("--help", "-h", "--version", "-V")
CHANGES = (["sync"], ["pip", "install"], ["pip", "uninstall"], ["pip", "sync"])


def main(words: list[str]) -> int:
    """Run uv with the arguments of a command line and return the exit code."""
    command, options{{ ', behind' if cookiecutter.__index_url else ', _' }} = split(words)
{% if cookiecutter.__index_url %}
    if line := refusal(command, behind, folder(options, "--directory"), project(options)):
        say(line)
        return 64
{% endif %}
    if command[:1] == ["run"]:  # first: later options may belong to the program that it runs
        os.environ["UV_NO_SYNC"] = "1"
        os.execve(UV[0], *called(words))
    if not command or given(words, *INFORMS):
        return uv(words)
    if command[0] in ("add", "remove") and not is_unsynced(words):
        failed = change(words, command[0], options)
        if not failed and (line := next_build(command[0], part_of(words), project(options))):
            say(line)
    elif command[0] == "export" and not is_chosen(words) and not given(words, *OF_A_PART):
        part = workspace(project(options)) != project(options)
        return uv([*words, *([] if part else extra())])
    elif command[0] == "sync" and not is_chosen(words):
        if {*values(words, "--package")} - {project_name(project(options))}:
            say("sync --package removes all other packages; for all: uv sync --all-packages")
            return 64
        failed = uv([*whole(words, project(options)), *accelerator({{ 'words' if stack.cuda_from == 'ngc' }})])
    else:
        failed = uv(words)
        if command not in CHANGES:
            return failed
    replace_another_uv()
    return failed or look()


def split(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the command, such as ["pip", "install"], uv's global options, and the words behind."""
    command, options, behind, rest = [], [], [], iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in WITH_VALUE:
            options += [name, value if equals else next(rest, "")]
        elif word in GLOBAL or re.fullmatch("-[nqv]+", word):
            options.append(word)
        elif not word.startswith("-") and not behind and command in ([], ["pip"], ["tool"]):
            command.append(word)
        elif command:
            behind.append(word)
    return command, options, behind


def values(words: list[str], *options: str) -> list[str]:
    """Return the values of options: behind `=`, or the next word."""
    found = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        found += [value if equals else following] if name in options else []
    return found


def is_chosen(words: list[str]) -> bool:
    """Return whether the command line itself says which accelerator's packages to install."""
    extras = ",".join(values(words, "--extra")).lower().split(",")
    return given(words, *CHOSEN) or bool({*extras} & {*ACCELERATORS})


def given(words: list[str], *options: str) -> bool:
    """Return whether one of the options is given, also as --option=value."""
    return any(word.partition("=")[0] in options for word in words)


def is_unsynced(words: list[str]) -> bool:
    """Return whether `uv add` or `uv remove` was told not to install."""
    settings = (os.environ.get(name, "").lower() for name in ("UV_NO_SYNC", "UV_FROZEN"))
    return given(words, *NOT_SYNCED) or any(setting not in OFF for setting in settings)


def change(words: list[str], command: str, options: list[str]) -> int:
    """Add or remove a package and return the exit code.

    If it fails, pyproject.toml and uv.lock are restored.
    """
    folder = project(options)
    root = workspace(folder)
    before = {path: read(path) for path in (folder / "pyproject.toml", root / "uv.lock")}
    installed = False
    try:
        os.environ["UV_NO_SYNC"] = "1"
        failed = uv(words)
        del os.environ["UV_NO_SYNC"]
        if failed:
            return failed
        # as uv does: only `remove` uninstalls packages of `uv pip install`
        keep = ["--inexact", *with_part(part_of(words))] if command == "add" else []
        sync = whole([*options, "sync", *keep], folder)
        failed = uv([*sync, *accelerator({{ 'keep' if stack.cuda_from == 'ngc' }})])
        installed = not failed
    finally:  # on SIGTERM, too
        if not installed:
            restore(before)
    if failed:
        say("the installation failed, so pyproject.toml and uv.lock are unchanged")
        if not shutil.which("cc"):
            say("a package without a wheel needs a compiler, which only the image build has:")
            say("docker compose run --rm app uv add --no-sync NAME, then docker compose build")
    return failed


def part_of(words: list[str]) -> list[str]:
    """Return the option of `uv sync` for the group or extra that a command changes, if any."""
    if given(words, "--package"):  # a group of another project
        return []
    if given(words, "--dev"):
        return ["--group", "dev"]
    groups = [["--group", name] for name in values(words, "--group")]
    extras = [["--extra", name] for name in values(words, "--optional")]
    return next(iter([*groups, *extras]), [])


def with_part(part: list[str]) -> list[str]:
    """Return a part's option, without one that accelerator() has, or that excludes it."""
    group = os.environ.get("SYNC_GROUP")
    known = (["--group", group], *(["--extra", name] for name in ACCELERATORS))
    return [] if part in known else part


def next_build(command: str, part: list[str], folder: Path) -> str:
    """Return one line on how the next containers get a change, "" if they do so anyway."""
    option, name = part or ("", "")
    in_dev = os.environ.get("SYNC_GROUP") == "dev"
    if option == "--extra" and name in {*ACCELERATORS} - {extra()[1]}:
        return f"this is for ACCELERATOR={name} alone: set it in .env, then docker compose build"
    if part == ["--group", "dev"] and not in_dev:
        files = "-f compose.yaml -f .devcontainer/compose.yaml"
        return f"this is for the dev container alone: docker compose {files} build"
    built = ACCELERATORS if option == "--extra" else ("", "dev", *built_groups(workspace(folder)))
    if name not in built:
{% if stack.cuda_from == 'ngc' %}
        place = '{ include-group = "' + name + '" } to the group test in pyproject.toml'
{% else %}
        place = f'"{name}" to default-groups in pyproject.toml'
{% endif %}
        how = "it without --optional" if option == "--extra" else f"{place}, uv lock, build again"
        return "" if command == "remove" else f"only this container has it, and no build: add {how}"
    line = "this container has the change; for the next ones: docker compose build"
    return "" if in_dev else line  # the dev container keeps its packages


def built_groups(folder: Path) -> list[str]:
    """Return the dependency groups that each build installs."""
{% if stack.cuda_from == 'ngc' %}
    return ["test"{{ ', "notebook"' if cookiecutter.notebook }}{{ ', "ray"' if cookiecutter.__ray }}]  # see docker/Dockerfile
{% else %}
    text = read(folder / "pyproject.toml") or b""
    found = re.search(rb"(?s)\ndefault-groups *= *\[(.*?)\]", text)
    return re.findall(r"""["'](.+?)["']""", found[1].decode()) if found else []
{% endif %}


def say(text: str) -> None:
    """Print a message to stderr."""
    print(f"uv: {text}", file=sys.stderr)


def folder(options: list[str], *names: str) -> Path:
    """Return the folder that options of uv, or their environment variables, name."""
    found = Path()
    for name in names:
        variable = {"--directory": "UV_WORKING_DIR", "--project": "UV_PROJECT"}[name]
        named = options[options.index(name) + 1] if name in options else os.environ.get(variable)
        found /= named or ""
    return found.resolve()


def project(options: list[str]) -> Path:
    """Return the folder of the pyproject.toml that uv changes."""
    start = folder(options, "--directory", "--project")
    found = (path for path in (start, *start.parents) if (path / "pyproject.toml").is_file())
    return next(found, start)


def project_name(folder: Path) -> str:
    """Return the name in a pyproject.toml, "" if there is none."""
    table = (read(folder / "pyproject.toml") or b"").partition(b"[project]")[2]
    found = re.search(rb"""(?m)^name *= *["']([^"']+)""", table)
    return found[1].decode() if found else ""


def whole(words: list[str], folder: Path) -> list[str]:
    """Return the arguments of `uv sync` for all of the workspace that a folder is a part of.

    The extra of ACCELERATOR is in its root alone.
    """
    root = workspace(folder)
    if root == folder:
        return words
    kept, rest = [], iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if name not in ("--directory", "--project", "--all-packages"):
            kept.append(word)
        elif name != "--all-packages" and not equals:
            next(rest, "")
    return [*kept, "--all-packages", "--directory", str(root), "--project", str(root)]


def workspace(folder: Path) -> Path:
    """Return the folder of a project's uv.lock: that of the workspace if it is a part of one."""
    for parent in folder.parents:
        if b"[tool.uv.workspace]" in (read(parent / "pyproject.toml") or b""):
            return parent
    return folder


def read(path: Path) -> bytes | None:
    """Return the content of a file, None if there is none."""
    return path.read_bytes() if path.is_file() else None


def restore(before: dict[Path, bytes | None]) -> None:
    """Restore the content of files; remove those that did not exist."""
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        elif read(path) != content:
            path.write_bytes(content)


def replace_another_uv() -> None:
    """Put this script in the place of a uv that a package has brought: it stands first in PATH."""
    other = Path(os.environ.get("UV_PROJECT_ENVIRONMENT") or "/opt/venv", "bin/uv")
    if other.is_file() and not other.is_symlink():
        other.unlink()
        other.symlink_to(OWN)


def accelerator({{ 'words: list[str]' if stack.cuda_from == 'ngc' }}) -> list[str]:
    """Return the options of `uv sync` that select this environment{{ ', without those in words' if stack.cuda_from == 'ngc' }}."""
    group = os.environ.get("SYNC_GROUP")
    options = [*extra(), *(["--group", group] if group else [])]
{% if stack.cuda_from == 'ngc' %}
    # Keep the packages of NVIDIA's image. Inexact: uv removes packages that it must not install.
    names = {distribution.metadata["Name"] for distribution in distributions()} - {None}
    if "opencv" in names:  # NVIDIA's build of OpenCV; PyPI's would overwrite half of it
        names.add("opencv-python-headless")
    options += [] if "--inexact" in words else ["--inexact"]
    options += [f"--no-install-package={name}" for name in sorted(names)]
{% endif %}
    return options


def extra() -> list[str]:
    """Return the option of uv that selects the packages of ACCELERATOR."""
    return ["--extra", os.environ.get("ACCELERATOR") or "nvidia"]


def look() -> int:
    """Let the doctor check the packages (a build does so at its end); return its exit code."""
    if os.environ.get("UV_WITHOUT_DOCTOR") or not Path(DOCTOR).exists():
        return 0
    return subprocess.call([DOCTOR, "--packages"]{{ ', env=without_password()' if cookiecutter.__index_url }})


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


def needs_git(words: list[str]) -> bool:
    """Return whether a command has a package from git: in its words or in the project's files."""
    command, options, _ = split(words)
    folder = project(options)
    texts = [" ".join(words).encode()]
    if {*command[:1]} & {*RESOLVE}:
        texts += [read(folder / "pyproject.toml"), read(workspace(folder) / "uv.lock")]
    return any(re.search(rb"""\bgit *= *["']|git\+""", text or b"") for text in texts)


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


if __name__ == "__main__":
    if "/opt/venv/bin" not in os.environ.get("PATH", "").split(":"):
        # `docker compose exec` starts as root, and uv would start the environment's Python as root
        os.execv(ENTRYPOINT, [ENTRYPOINT, *sys.argv])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs `finally`, which undoes a change
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
