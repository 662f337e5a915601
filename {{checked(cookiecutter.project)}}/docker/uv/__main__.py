{% set stack = cookiecutter | stack %}
"""Run uv{{ ' with the login of the private index,' if cookiecutter.__index_url }} and keep the packages of ACCELERATOR.

uv itself is /opt/uv/bin/uv: without the extra of ACCELERATOR, its sync would remove those packages.
After each change the doctor checks what is installed; this program returns its exit code.
"""

from __future__ import annotations

import os
import signal
import sys

{% if cookiecutter.__index_url %}
sys.path.append("/usr/local/lib/with-index")
{% endif %}
from accelerator import extra, of_accelerator
from arguments import INFORMS, given, is_chosen, is_unsynced, part_of, split, values
from change import change, next_build
{% if cookiecutter.__index_url %}
from confusion import refusal
{% endif %}
from program import WRAPPER, called, doctor, replace_another_uv, say, uv
from workspace import {{ 'folder, ' if cookiecutter.__index_url }}project, project_name, whole, workspace

ENTRYPOINT = "/usr/local/bin/entrypoint"
OF_A_PART = ("--package", "--project", "--directory")
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
        program, environment = called(words)
        os.execve(program[0], program, environment)
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
        failed = uv([*whole(words, project(options)), *of_accelerator({{ 'words' if stack.cuda_from == 'ngc' }})])
    else:
        failed = uv(words)
        if command not in CHANGES:
            return failed
    replace_another_uv()
    return failed or doctor()


if __name__ == "__main__":
    if "/opt/venv/bin" not in os.environ.get("PATH", "").split(":"):
        # `docker compose exec` starts as root, and uv would start the environment's Python as root
        os.execv(ENTRYPOINT, [ENTRYPOINT, WRAPPER, *sys.argv[1:]])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs `finally`, which undoes a change
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
