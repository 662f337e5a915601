"""Update a generated project with cruft: the template's changes come, and what its owner changed stays."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE
from tests.generation.conftest import contents

README = "templates/README.en.md"
CRUFT = [sys.executable, "-m", "cruft"]


@dataclass(frozen=True)
class Repository:
    """A git repository in a test's folder."""

    path: Path

    def git(self, *arguments: str) -> str:
        """Run git in it and return what it said; it must not fail."""
        return succeed(self.path, "git", *arguments)

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a text that a file has once."""
        path = self.path / name
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture
def template(tmp_path: Path) -> Repository:
    """The template as it is here, in a repository of its own, tagged v1."""
    files = succeed(TEMPLATE, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split(
        "\0"
    )
    repository = Repository(tmp_path / "template")
    for name in filter(None, files):
        if (TEMPLATE / name).exists():
            (repository.path / name).parent.mkdir(parents=True, exist_ok=True)
            (repository.path / name).write_bytes((TEMPLATE / name).read_bytes())
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.commit("The first version")
    repository.git("tag", "v1")
    return repository


@pytest.fixture
def project(template: Repository, tmp_path: Path) -> Repository:
    """A project that cruft made from v1, edited by its owner, committed."""
    answers = json.dumps({"project": "followed", "environment": "training"})
    create = [*CRUFT, "create", str(template.path), "--no-input", "--checkout", "v1"]
    succeed(tmp_path, *create, "--extra-context", answers)
    repository = Repository(tmp_path / "followed")
    repository.git("init", "--quiet")
    repository.commit("Generated")
    repository.edit("pyproject.toml", "\ndependencies = [\n", '\ndependencies = [\n  "einops",\n')
    repository.edit("README.md", "# followed\n", "# Followed, by its owner\n")
    (repository.path / "src/followed/owned.py").write_text("import einops\n")
    (repository.path / "docker/accelerator-cpu.yaml").unlink()
    repository.edit("compose.project.yaml", '    # volumes: ["/mnt/pictures', '    volumes: ["/mnt/pictures')
    repository.commit("The owner's work")
    return repository


def test_an_update_brings_the_template_s_changes_and_keeps_the_owner_s(template, project, pytestconfig):
    move_on(template)

    update(project)

    changed = project.git("diff", "HEAD", "--name-only").split()
    brought = ["docker/apt-packages.txt", "docker/machine.yaml", "pyproject.toml"]
    assert changed == [".cruft.json", "README.md", *brought]
    # the template's side, with a filter that only its new version has
    assert "stop_grace_period: 60s" in read(project, "docker/machine.yaml")
    assert "ffmpeg  # FOLLOWED" in read(project, "docker/apt-packages.txt")
    assert "line-length = 120" in read(project, "pyproject.toml")
    command = f"--checkout {template.git('rev-parse', '--short=12', 'main').strip()}"
    assert command in read(project, "README.md")
    # the owner's
    assert '  "einops",\n' in read(project, "pyproject.toml")
    assert read(project, "README.md").startswith("# Followed, by its owner\n")
    assert '\n    volumes: ["/mnt/pictures' in read(project, "compose.project.yaml")
    assert not (project.path / "docker/accelerator-cpu.yaml").exists()
    assert not [*project.path.rglob("*.rej")]
    project.commit("Updated")
    assert "up to date" in succeed(project.path, *CRUFT, "check")


def test_where_both_changed_the_same_line_both_are_there_to_choose_from(template, project):
    heading = "# {{ cookiecutter.project }}"
    template.edit(README, f"{heading}\n", f"{heading} 2\n")
    template.commit("A new heading")

    update(project)

    theirs = project.path / "README.md.rej"
    text = read(project, "README.md") + (theirs.read_text() if theirs.exists() else "")
    assert "# Followed, by its owner" in text
    assert "# followed 2" in text


@pytest.mark.parametrize("own_check", [True, False], ids=["with a check of its own", "unchanged"])
def test_the_former_doctor_py_goes_unless_its_owner_changed_it(template, request, own_check):
    """It became docker/doctor/; the next build stops at a file that is left (tests/engine/test_doctor.py)."""
    former = template.path / "{{checked(cookiecutter.project)}}/docker/doctor.py"
    former.write_text("CHECKS = [\n]\n")
    template.commit("As it was")
    template.git("tag", "--force", "v1")
    project = request.getfixturevalue("project")
    if own_check:
        project.edit("docker/doctor.py", "CHECKS = [\n", "CHECKS = [\n    check_own,\n")
        project.commit("A check of the owner's")
    former.unlink()
    template.commit("A folder")

    update(project)

    assert (project.path / "docker/doctor.py").exists() == own_check
    assert not own_check or "check_own" in read(project, "docker/doctor.py")


def test_uv_lock_comes_between_an_update_and_the_build():
    """The template changes pins in pyproject.toml, and a build refuses a uv.lock without them."""
    pages = [
        *(TEMPLATE / "docs").glob("*.md"),
        *TEMPLATE.glob("README*.md"),
        *TEMPLATE.glob("templates/**/*.md"),
    ]
    blocks = [
        block.split("\n") for page in pages for block in fences(page.read_text()) if "cruft update" in block
    ]

    after = [block[-2:] for block in blocks]

    assert after == [["docker compose run --rm app uv lock", "docker compose build"]] * len(after)
    assert len(after) >= 4


def fences(text: str) -> list[str]:
    """Return the shell blocks of a page."""
    return re.findall(r"(?ms)^```sh\n(.*?)\n```$", text)


def test_answers_are_changed_later(project):
    answers = {"cuda": "cu12-py312", "notebook": True, "environment": "full"}
    changes = [  # a file, what it has before, what it has then
        ("docker/environment.json", '"cuda": 13', '"cuda": 12'),
        ("compose.yaml", "", "jupyter lab"),
        ("pyproject.toml", "torch==", "onnxscript"),
    ]
    for file, before, after in changes:
        assert (before in read(project, file), after in read(project, file)) == (True, False)

    update(project, "--variables-to-update", json.dumps(answers))

    assert [after in read(project, file) for file, _, after in changes] == [True] * 3
    assert '  "einops",\n' in read(project, "pyproject.toml")
    recorded = json.loads(read(project, ".cruft.json"))["context"]["cookiecutter"]
    assert answers.items() <= recorded.items()


def test_a_project_of_plain_cookiecutter_is_linked_later(template, project, tmp_path):
    (project.path / ".cruft.json").unlink()
    project.commit("As from cookiecutter")
    answers = json.dumps({"project": "followed", "environment": "training"})
    link = [*CRUFT, "link", str(template.path), "--checkout", "v1", "--no-input", "--extra-context", answers]
    succeed(project.path, *link)
    project.commit("Linked")
    move_on(template)

    update(project)

    assert "stop_grace_period: 60s" in read(project, "docker/machine.yaml")
    assert '  "einops",\n' in read(project, "pyproject.toml")


def test_the_readme_s_command_links_a_project(template, tmp_path):
    """It has the version and every answer; the template lay in a folder, so its address is put in."""
    answers = ["project=followed", "environment=training", "notebook=yes", "readme_language=ja"]
    index = ["private_index=https://pypi.example.com/simple", "private_packages=in-house-tool, another"]
    cookiecutter = [sys.executable, "-m", "cookiecutter", "--no-input", str(template.path)]
    succeed(tmp_path, *cookiecutter, *answers, *index)
    project = Repository(tmp_path / "followed")
    project.git("init", "--quiet")
    project.commit("Generated")
    [line] = re.findall(r"(?m)^uvx (cruft link .*)$", read(project, "README.md"))
    move_on(template)

    succeed(project.path, *CRUFT, *shlex.split(line.replace("URL-OF-THE-TEMPLATE", str(template.path)))[1:])
    project.commit("Linked")
    update(project)

    changed = project.git("diff", "HEAD", "--name-only").split()
    brought = ["docker/apt-packages.txt", "docker/machine.yaml", "pyproject.toml"]
    assert changed == [".cruft.json", "README.md", *brought]


def test_cruft_writes_what_cookiecutter_writes(template, tmp_path):
    succeed(tmp_path, *CRUFT, "create", str(template.path), "--no-input")
    by_cruft = contents(tmp_path / "my-project")
    assert by_cruft.pop(".cruft.json")
    (tmp_path / "plain").mkdir()
    command = [sys.executable, "-m", "cookiecutter", "--no-input", str(template.path)]
    succeed(tmp_path / "plain", *command)

    by_cookiecutter = contents(tmp_path / "plain/my-project")
    assert by_cruft.pop(".env") != by_cookiecutter.pop(".env")  # the number of each folder
    assert by_cruft == by_cookiecutter


def move_on(template: Repository) -> None:
    """Commit a next version, which changes files, a filter and a default."""
    inside = "{{checked(cookiecutter.project)}}"
    template.edit(f"{inside}/docker/machine.yaml", "stop_grace_period: 30s", "stop_grace_period: 60s")
    template.edit(f"{inside}/pyproject.toml", "line-length = 100", "line-length = 120")
    packages = template.path / inside / "docker/apt-packages.txt"
    packages.write_text(packages.read_text() + "ffmpeg  # {{ cookiecutter.project | shout }}\n")
    old = 'environment.filters["package_name"] = package_name\n'
    template.edit(
        "capy_template/extension.py", old, f'{old}        environment.filters["shout"] = str.upper\n'
    )
    template.commit("The second version")


def update(project: Repository, *options: str) -> None:
    """Update the project as the README says."""
    succeed(project.path, *CRUFT, "update", "--skip-apply-ask", *options)


def read(project: Repository, name: str) -> str:
    """Return the text of a file."""
    return (project.path / name).read_text()


def succeed(folder: Path, *command: str) -> str:
    """Run a command in a folder and return its output; it must not fail."""
    somebody = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Somebody")
    somebody |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "somebody@example.com")
    done = subprocess.run(command, cwd=folder, env={**os.environ, **somebody}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
