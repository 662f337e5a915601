"""Make the README's picture, docs/terminal.svg, from a real run.

    python -m tools.pictures

It generates a project, builds it if an engine answers, and records the terminal output.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from engines.base_image import base_image
from engines.engine import find_or_start, guarded
from engines.steps import run, say
from tools.demo import TEMPLATE

BASE = "ubuntu:24.04"
OWNER = 1000  # owner of the recorded project if root records: the picture shows that outputs have it
ANSWERS = "\n" * 20  # Enter at each question
# rich's own format would load fonts from another host
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> int:
    """Write the picture and return 0. Raises EngineError with one line on what failed."""
    engine = find_or_start()
    environment = {**os.environ, **engine.env}
    if bundle := os.environ.get("SSL_CERT_FILE"):
        environment.setdefault("CA_BUNDLE", bundle)
    base = base_image(BASE, engine)
    if base.stand_in:
        environment["BASE_IMAGE"] = base.name
    with tempfile.TemporaryDirectory() as folder:
        Recorder(Path(folder), environment).record()
    return 0


class Recorder:
    """A project in a temporary folder, and the output of its commands."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Take a folder for the project and the environment of its commands."""
        self.folder, self.project, self.environment = folder, folder / "my-project", environment
        (folder / "settings.yaml").write_text(f"replay_dir: {folder}/replay\n")
        self.environment["COLUMNS"] = "108"
        self.environment["COOKIECUTTER_CONFIG"] = str(folder / "settings.yaml")

    def record(self) -> None:
        """Run everything, and write the picture."""
        console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
        generate = [sys.executable, "-m", "cookiecutter", str(TEMPLATE)]
        console.print(prompt("~", "uvx cookiecutter gh:org/capy-template"))
        console.print(answered(self.output(generate, self.folder, ANSWERS)), highlight=False)
        if os.getuid() == 0:
            shutil.chown(self.project, OWNER, OWNER)
            for path in self.project.rglob("*"):
                shutil.chown(path, OWNER, OWNER)
        environment = {"env": self.environment, "cwd": self.project}
        run("building the image", ["docker", "compose", "build"], **environment)
        for command in (
            "docker compose run --rm app script.py",
            "stat -c 'owner %u  %n' . outputs/*",
            "docker compose run --rm app pytest -q",
        ):
            console.print(prompt("~/my-project", command))
            console.print(self.output(["sh", "-c", command], self.project).strip(), highlight=False)
        self.save(console, "terminal.svg", "a terminal, on a machine without a GPU")
        subprocess.run(["docker", "compose", "down"], capture_output=True, **environment)

    def output(self, command: list[str], folder: Path, typed: str = "") -> str:
        """Return the stdout of a command. Raises CalledProcessError if it fails."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment,
            input=typed,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def save(self, console: Console, name: str, title: str) -> None:
        """Write a picture; the same run gives the same file."""
        path = TEMPLATE / "docs" / name
        svg = console.export_svg(title=title, code_format=FORMAT, unique_id=path.stem)
        path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
        say(f"wrote docs/{name}")


def prompt(place: str, command: str) -> Text:
    """Return a prompt with a typed command."""
    return Text.assemble((f"{place} $ ", "bold green"), (command, "bold"))


def answered(output: str) -> str:
    """Return cookiecutter's questions, one a line, as on a terminal after Enter."""
    return re.sub(r"(?<=[)\]:]): (?= *\[\d+/)|: (?=  \[\d+/)", ":\n", output).strip()


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__.splitlines()[0]).parse_args()
    sys.exit(guarded(main))
