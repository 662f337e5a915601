"""The README's pictures, made from a real run: docs/terminal.svg and docs/editor.svg.

    python -m tools.pictures

It generates a project, builds it where an engine answers, and records what a user would see.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.layout import Layout
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text
from rich.tree import Tree

from engines.base_image import base_image
from engines.engine import find_or_start, guarded
from engines.steps import run, say
from tools.demo import TEMPLATE

BASE = "ubuntu:24.04"
OWNER = 1000  # of the recorded project, where root records: that outputs have its owner is to be seen
ANSWERS = "\n" * 20  # Enter at each question
# rich's own format would fetch its fonts from another host while somebody reads
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
HIDDEN = {".git", ".cache", "outputs", "__pycache__", ".pytest_cache"}


def main() -> int:
    """Write both pictures and return 0. Raises EngineError: one line on what failed."""
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
    """A project in a scratch folder, and what its commands said."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Take a folder for the project and the environment of its commands."""
        self.folder, self.project, self.environment = folder, folder / "my-project", environment
        (folder / "settings.yaml").write_text(f"replay_dir: {folder}/replay\n")
        self.environment["COLUMNS"] = "108"
        self.environment["COOKIECUTTER_CONFIG"] = str(folder / "settings.yaml")

    def record(self) -> None:
        """Run everything, and write the pictures."""
        console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
        generate = [sys.executable, "-m", "cookiecutter", str(TEMPLATE)]
        console.print(prompt("~", "cookiecutter gh:org/capy-template"))
        console.print(answered(self.output(generate, self.folder, ANSWERS)), highlight=False)
        if os.getuid() == 0:
            shutil.chown(self.project, OWNER, OWNER)
            for path in self.project.rglob("*"):
                shutil.chown(path, OWNER, OWNER)
        files = ["--file", "compose.yaml", "--file", ".devcontainer/compose.yaml"]
        environment = {"env": self.environment, "cwd": self.project}
        run("building the image", ["docker", "compose", "build"], **environment)
        run("building the dev container's", ["docker", "compose", *files, "build"], **environment)
        for command in (
            "docker compose run --rm app script.py",
            "stat -c 'owner %u  %n' . outputs/*",
            "docker compose run --rm app pytest -q",
        ):
            console.print(prompt("~/my-project", command))
            console.print(self.output(["sh", "-c", command], self.project).strip(), highlight=False)
        self.save(console, "terminal.svg", "a terminal, on a machine without a GPU")

        tests = self.output(["docker", "compose", *files, "run", "--rm", "app", "pytest"], self.project)
        editor = Console(record=True, width=130, height=52, file=io.StringIO(), force_terminal=True)
        editor.print(self.editor(tests.strip()))
        self.save(editor, "editor.svg", "my-project [Dev Container] - Visual Studio Code")
        subprocess.run(["docker", "compose", *files, "down", "--volumes"], capture_output=True, **environment)

    def output(self, command: list[str], folder: Path, typed: str = "") -> str:
        """Return what a command says on stdout. Raises CalledProcessError where it fails."""
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

    def editor(self, tests: str) -> Layout:
        """Return the window: the files, an open one, a terminal in the dev container."""
        layout = Layout()
        layout.split_row(Layout(name="files", size=40), Layout(name="rest"))
        layout["rest"].split_column(Layout(name="code"), Layout(name="terminal", size=14))
        tree = Tree("[b]MY-PROJECT [DEV CONTAINER][/b]".replace("[DEV", r"\[DEV"), guide_style="dim")
        grow(tree, self.project)
        layout["files"].update(Panel(tree, title="EXPLORER", title_align="left", border_style="dim"))
        code = Syntax(
            (self.project / "script.py").read_text(), "python", theme="ansi_dark", line_numbers=True
        )
        layout["code"].update(Panel(code, title="script.py", title_align="left", border_style="dim"))
        shell = Group(prompt("app ➜ /code", "pytest"), Text(tests))
        layout["terminal"].update(Panel(shell, title="TERMINAL", title_align="left", border_style="dim"))
        return layout

    def save(self, console: Console, name: str, title: str) -> None:
        """Write a picture, the same one for the same run."""
        path = TEMPLATE / "docs" / name
        svg = console.export_svg(title=title, code_format=FORMAT, unique_id=path.stem)
        path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
        say(f"wrote docs/{name}")


def prompt(place: str, command: str) -> Text:
    """Return a line as somebody types it."""
    return Text.assemble((f"{place} $ ", "bold green"), (command, "bold"))


def answered(output: str) -> str:
    """Return cookiecutter's questions a line each, as on a terminal where Enter was pressed."""
    return re.sub(r"(?<=[)\]:]): (?= *\[\d+/)|: (?=  \[\d+/)", ":\n", output).strip()


def grow(tree: Tree, folder: Path) -> None:
    """Add what lies in a folder, folders first."""
    found = [path for path in folder.iterdir() if path.name not in HIDDEN]
    for path in sorted(found, key=lambda path: (path.is_file(), path.name)):
        branch = tree.add(path.name)
        if path.is_dir():
            grow(branch, path)


if __name__ == "__main__":
    sys.exit(guarded(main))
