"""A bad answer is refused in one line that says what to do, and nothing is written anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cookiecutter
import pytest
from cookiecutter.exceptions import FailedHookException

from capy_template import package_name
from tests.conftest import generate, run_cookiecutter, use_cookiecutter_settings_of
from tests.generation.conftest import CHOICES, contents

HOSTILE = {
    "a path upwards": "../x",
    "a folder in a folder": "sub/dir",
    "an absolute path": "/abs",
    "a dot": ".",
    "two dots": "..",
    "a backslash": "a\\b",
    "empty": "",
    "a space": "My App",
    "only a space": " ",
    "a capital letter": "App",
    "like an option": "-x",
    "a digit first": "3d-net",
    "a double quote": 'a"b',
    "a quote": "it's",
    "quotes that end a string and run code": '"; import os; os.system("touch pwned"); "',
    "a command substitution": "$(touch pwned)",
    "a shell's semicolon": "a; touch pwned",
    "a newline inside": "my\napp",
    "a newline at the end": "my-app\n",
    "a tab": "my\tapp",
    "an escape sequence of the terminal": "my\x1b[31mapp",
    "letters beyond ASCII": "größe",
    "no ASCII letter at all": "项目",
    "digits beyond ASCII": "net٣",
    "one character too long": "a" * 51,
    "too long for a file name": "a" * 5000,
    "two hyphens": "my--app",
    "a hyphen at the end": "my-app-",
    "a keyword of Python": "class",
    "a keyword with a capital letter": "Class",
    "a module of Python": "json",
    "a module of Python with a capital letter": "Logging",
    "a package of the project": "numpy",
    "a package of the project with capital letters": "NumPy",
    "the folder of the tests": "tests",
}
GOOD = ["my-project", "my_project", "a", "yolo8", "true", "null", "a" * 50]


@dataclass(frozen=True)
class Place:
    """A folder in which somebody types the command, and around it everything it could spoil."""

    around: Path

    @property
    def folder(self) -> Path:
        """Return where the command is typed."""
        return self.around / "parent" / "here"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place of its own, with cookiecutter's replay folder in it."""
    use_cookiecutter_settings_of(tmp_path, monkeypatch)
    here = Place(tmp_path)
    here.folder.mkdir(parents=True)
    (here.folder.parent / "a file of somebody").write_text("precious")
    return here


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_that_cannot_work_is_refused_in_one_line_and_leaves_nothing(place, name):
    before = contents(place.around)

    done = run_cookiecutter(place.folder, f"project={name}")

    assert done.returncode == 1
    assert one_line(done).startswith("project=")
    assert "Nothing was written; try project=" in one_line(done)
    assert len(one_line(done)) < 300
    assert contents(place.around) == before


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_the_name_that_a_refusal_suggests_is_accepted(name):
    with pytest.raises(FailedHookException) as refused:
        package_name(name)

    suggestion = re.search(r"try project=(\S+)$", str(refused.value))[1]

    assert package_name(suggestion).isidentifier()


def test_no_name_of_a_dependency_is_accepted(bake):
    """The project would depend on itself: nothing could be installed."""
    environments = CHOICES["environment"]
    projects = [bake(project=name, environment=name) for name in environments]
    names = {item.name for project in projects for item in project.requirements()}

    accepted = {name for name in names if is_accepted(name)}

    assert accepted == set()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_the_folder_and_the_package(place, name):
    done = run_cookiecutter(place.folder, f"project={name}")

    package = name.replace("-", "_")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in place.folder.iterdir()] == [name]
    assert (place.folder / name / "src" / package / "__init__.py").is_file()


def test_a_name_typed_at_the_prompt_is_refused_before_the_next_question(place):
    done = run_cookiecutter(place.folder, typed="../x\n")

    assert done.returncode == 1
    assert "[2/" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith("Nothing was written; try project=x")
    assert contents(place.folder) == {}


def test_no_github_actions_can_be_said_on_the_command_line(place):
    done = run_cookiecutter(place.folder, "github_actions=no")

    assert done.returncode == 0, done.stdout + done.stderr
    assert not (place.folder / "my-project" / ".github").exists()


def test_a_folder_that_exists_is_left_alone(place):
    users_folder(place)
    before = contents(place.folder)

    done = run_cookiecutter(place.folder)

    assert done.returncode == 1
    assert one_line(done) == 'Error: "my-project" directory already exists'
    assert contents(place.folder) == before


def test_a_project_made_into_a_folder_that_exists_keeps_every_file_of_the_user(place):
    users_folder(place)
    before = contents(place.folder)

    done = run_cookiecutter(place.folder, "-f", "-s", "github_actions=no")

    after = contents(place.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: after.get(name, "removed") for name in before} == before
    assert "my-project/docker/Dockerfile" in after


def test_a_project_refused_in_a_folder_that_exists_removes_nothing(place):
    users_folder(place)
    before = contents(place.folder)

    done = run_cookiecutter(place.folder, "-f", "-s", "project=my-project/")

    assert done.returncode == 1
    assert contents(place.folder) == before


@pytest.mark.parametrize("version", ["1.7.3", "2.6.0"])
def test_an_old_cookiecutter_is_refused_in_one_line(tmp_path, monkeypatch, version):
    monkeypatch.setattr(cookiecutter, "__version__", version)

    with pytest.raises(FailedHookException, match=rf"^cookiecutter {version} is too old;.*$"):
        generate(tmp_path)

    assert contents(tmp_path) == {}


@pytest.mark.parametrize("version", ["2.7.0", "2.10.1", "3.0.0"])
def test_a_newer_cookiecutter_is_welcome(tmp_path, monkeypatch, version):
    monkeypatch.setattr(cookiecutter, "__version__", version)

    project = generate(tmp_path)

    assert (project.path / "compose.yaml").is_file()


def users_folder(place: Place) -> None:
    """Make a folder named like the project, with files that the template would write, too."""
    for name in ("compose.yaml", "notes.txt", ".github/CODEOWNERS", "docker/mine.sh", ".env"):
        path = place.folder / "my-project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# my own {name}\n")


def is_accepted(name: str) -> bool:
    """Return whether a project may have this name."""
    try:
        package_name(name)
    except FailedHookException:
        return False
    return True


def one_line(done) -> str:
    """Return the only line that a command printed."""
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    return lines[0]
