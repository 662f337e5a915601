"""A bad answer is refused in one line that says what to do, and nothing is written anywhere."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cookiecutter
import pytest
from cookiecutter.exceptions import FailedHookException

from capy_template.answers import package_name
from tests.conftest import (
    TEMPLATE,
    generate,
    run_cookiecutter,
    run_cookiecutter_here,
    use_cookiecutter_settings_of,
)
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
    "a device of Windows": "nul",
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

    done = run_cookiecutter_here(place.folder, "--no-input", f"project={name}")

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


@pytest.mark.parametrize("question", ["project", "private_index", "private_packages"])
@pytest.mark.parametrize(
    "answer",
    ["{{ cycler.__init__.__globals__.os.system('touch pwned') }}", "{% raw %}", "a{#", "{{cookiecutter"],
)
def test_jinja_in_an_answer_is_refused_before_cookiecutter_executes_it(place, question, answer):
    before = contents(place.around)

    done = run_cookiecutter_here(place.folder, "--no-input", f"{question}={answer}")

    assert done.returncode == 1
    assert one_line(done).startswith("an answer cannot be used: it contains {{, {% or {#")
    assert contents(place.around) == before


def test_a_name_typed_at_the_prompt_is_refused_before_the_next_question(place):
    done = run_cookiecutter(place.folder, typed="../x\n")

    assert done.returncode == 1
    assert "[2/" not in done.stdout
    assert done.stdout.splitlines()[-1].endswith("Nothing was written; try project=x")
    assert contents(place.folder) == {}


@pytest.mark.parametrize("before", [0, 3, 4], ids=["project", "private_index", "private_packages"])
def test_jinja_typed_at_the_prompt_is_refused_before_the_next_question(place, before):
    around = contents(place.around)
    answers = "\n" * before + "{{ cycler.__init__.__globals__.os.system('touch pwned') }}\n" + "\n" * 10

    done = run_cookiecutter(place.folder, typed=answers)

    assert done.returncode == 1
    assert f"[{before + 1}/" in done.stdout and f"[{before + 2}/" not in done.stdout
    assert " cannot be used: " in done.stdout.splitlines()[-1]
    assert contents(place.around) == around


SECRET = "s3cr3t"
BAD_INDEXES = {
    "an account and a password": (f"https://corp:{SECRET}@pypi.example.com/simple", "in clear text"),
    "a password with a slash in it": (f"http://corp:pa/ss-{SECRET}@pypi.example.com/simple", "in clear text"),
    "an account alone": ("https://corp@pypi.example.com/simple", "in clear text"),
    "no scheme": ("pypi.example.com/simple", "must begin with http:// or https://"),
    "another scheme": ("ftp://pypi.example.com/simple", "must begin with http:// or https://"),
    "a file": ("file:///srv/wheels", "must begin with http:// or https://"),
    "no host": ("http:///simple", "is not of the form"),
    "an empty part of a host": ("https://pypi..example.com/simple", "is not of the form"),
    "dots for a host": ("https://.../simple", "is not of the form"),
    "no IPv6 address": ("https://[:::]/simple", "is not of the form"),
    "a space": ("http://pypi.example.com/my index", "is not of the form"),
    "a quote": ('http://pypi.example.com/"', "is not of the form"),
    "a newline": ("http://pypi.example.com/\nsimple", "is not of the form"),
    "a command": ("http://pypi.example.com/$(touch pwned)", "is not of the form"),
    "a query": (f"http://pypi.example.com/simple?token={SECRET}", "has a query"),
    "a fragment": ("http://pypi.example.com/simple#x", "has a query or a fragment"),
    "a port too high": ("http://pypi.example.com:70000/simple", "its port is not"),
    "port 0": ("http://pypi.example.com:0/simple", "its port is not"),
    "letters beyond ASCII": ("http://pypi.exämple.com/simple", "is not of the form"),
}


@pytest.mark.parametrize(("url", "reason"), BAD_INDEXES.values(), ids=BAD_INDEXES)
def test_a_bad_private_index_is_refused_in_one_line_and_stands_nowhere(place, url, reason):
    before = contents(place.around)

    done = run_cookiecutter_here(place.folder, "--no-input", f"private_index={url}")

    assert done.returncode == 1
    assert one_line(done).startswith("private_index cannot be used: it")
    assert reason in one_line(done)
    assert SECRET not in one_line(done)
    assert contents(place.around) == before


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("http://192.168.100.100:16000/simple", "http://192.168.100.100:16000/simple"),
        (" https://pypi.example.com/simple/ ", "https://pypi.example.com/simple"),
        (
            "https://pypi_server/api/pypi/all%20of%20it/simple",
            "https://pypi_server/api/pypi/all%20of%20it/simple",
        ),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080"),
    ],
)
def test_a_private_index_is_explicit(bake, url, written):
    project = bake(private_index=url, private_packages="In_House.Package,in-house-tool,")

    settings = tomllib.loads(project.read("pyproject.toml"))

    index = {"name": "private", "url": written, "explicit": True}
    assert settings["tool"]["uv"]["index"] == [index]
    assert settings["tool"]["uv"]["sources"] == {
        "in-house-package": {"index": "private"},
        "in-house-tool": {"index": "private"},
    }
    assert {"in-house-package", "in-house-tool"} <= set(settings["project"]["dependencies"])


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        pytest.param("in house", "write names of letters", id="a space"),
        pytest.param("in-house==1.0", "write names of letters", id="a version"),
        pytest.param("a, b;c", "write names of letters", id="a semicolon"),
        pytest.param('a"\n[tool]', "write names of letters", id="TOML"),
        pytest.param("-r requirements.txt", "write names of letters", id="an option"),
        pytest.param("größe", "write names of letters", id="letters beyond ASCII"),
        pytest.param("x" * 51, "write names of letters", id="too long"),
        pytest.param("My_Project", "the project itself", id="the project"),
        pytest.param("torch", "already uses that name", id="a package of the project"),
        pytest.param("OpenCV-Python.headless", "already uses that name", id="one of them, written otherwise"),
    ],
)
def test_a_bad_private_package_is_refused_in_one_line_and_leaves_nothing(place, packages, reason):
    before = contents(place.around)

    done = run_cookiecutter_here(
        place.folder,
        "--no-input",
        "private_index=http://pypi.example.com/simple",
        f"private_packages=good,{packages}",
    )

    assert done.returncode == 1
    assert one_line(done).startswith("private_packages: ")
    assert reason in one_line(done)
    assert contents(place.around) == before


def test_private_packages_of_no_index_are_refused(place):
    done = run_cookiecutter(place.folder, "private_packages=in-house-package")

    assert done.returncode == 1
    assert one_line(done).startswith("private_packages cannot be used: private_index")
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
    assert after["my-project/.env"].startswith(before.pop("my-project/.env"))
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


@pytest.mark.parametrize("name", ["project", "private_index", "private_packages"])
@pytest.mark.parametrize("value", [{"a": "b"}, {}], ids=str)
def test_an_answer_that_is_a_dict_is_refused_in_one_line(bake, name, value):
    """As a configuration file may have it. cookiecutter renders it after all others."""
    with pytest.raises(FailedHookException, match=rf"^{name} cannot be used: it is not text\. Nothing was"):
        bake(**{"private_index": "https://pypi.example.com/simple", "private_packages": "one", name: value})


def test_every_hidden_answer_is_used():
    """In the text or the name of a file, or by another answer."""
    questions = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    hidden = [name for name in questions if name.startswith("__") and name != "__prompts__"]
    folders = (next(TEMPLATE.glob("*cookiecutter.project*")), TEMPLATE / "templates", TEMPLATE / "hooks")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    texts = [str(path) + path.read_bytes().decode(errors="replace") for path in files]
    used = set(re.findall(r"\b__\w+", "".join([*texts, *map(str, questions.values())])))

    assert hidden
    assert set(hidden) - used == set()
