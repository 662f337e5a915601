"""After generation: empty folders go, the next steps are said, and nothing that is missing matters."""

from __future__ import annotations

import re
import runpy
import subprocess

import pytest

from tests.conftest import TEMPLATE, run_cookiecutter
from tests.generation.conftest import contents

HOOK = TEMPLATE / "hooks" / "post_gen_project.py"
INTO_EXISTING = ("-f", "-s", "github_actions=no")


@pytest.mark.parametrize(
    ("file", "folders"),
    [
        pytest.param(".github/workflows/mine.yaml", {".github", ".github/workflows"}, id="both"),
        pytest.param(".github/dependabot.yaml", {".github"}, id="one"),
        pytest.param("outputs/mine.png", set(), id="none"),
    ],
)
def test_of_the_folders_of_github_actions_the_used_ones_stay(tmp_path, file, folders):
    users = tmp_path / "my-project" / file
    users.parent.mkdir(parents=True)
    users.write_text("mine")

    run_cookiecutter(tmp_path, *INTO_EXISTING)

    assert users.read_text() == "mine"
    names = contents(tmp_path / "my-project")
    assert {name for name in names if name.startswith(".github")} - {file} == folders


def test_an_empty_folder_of_the_user_stays(tmp_path):
    (tmp_path / "my-project" / "data").mkdir(parents=True)

    run_cookiecutter(tmp_path, *INTO_EXISTING)

    assert (tmp_path / "my-project" / "data").is_dir()


def test_the_next_steps_are_said(tmp_path):
    done = run_cookiecutter(tmp_path, "project=my-net")

    assert done.returncode == 0
    assert "my-net is ready" in done.stdout
    assert "cd my-net" in done.stdout
    assert "docker compose run --rm app script.py" in done.stdout


@pytest.mark.parametrize(
    ("accelerator", "environment", "cost"),
    [
        ("nvidia", "inference", "1.7 GB, about 4 minutes"),
        ("nvidia", "training-ngc", "10 GB, about 15 minutes"),
        ("cpu", "inference", "0.3 GB, about 2 minutes"),
    ],
)
def test_the_next_steps_are_three_commands_with_the_cost_of_the_first_build(
    tmp_path, accelerator, environment, cost
):
    settings = tmp_path / "my-project" / ".env"
    settings.parent.mkdir()
    settings.write_text(f"ACCELERATOR={accelerator}\n")

    done = run_cookiecutter(tmp_path, "-f", "-s", f"environment={environment}")

    steps = done.stdout.partition("Next:\n")[2]
    assert re.findall(r"(?m)^  (.*)$", steps) == [
        "cd my-project",
        "docker compose run --rm app script.py",
        "docker compose run --rm app doctor",
    ]
    assert f"\nBuild the image ({cost} at 100 Mbit/s) and run the example:\n" in steps


def test_the_next_steps_name_only_files_that_exist(tmp_path):
    done = run_cookiecutter(tmp_path)

    named = set(re.findall(r"[\w/-]+\.(?:md|py|sh|yaml)\b", done.stdout))
    assert {"README.md", "script.py"} <= named
    assert {name for name in named if not (tmp_path / "my-project" / name).is_file()} == set()


def test_a_machine_without_sh_and_docker_gets_its_project(tmp_path):
    (tmp_path / "no programs").mkdir()

    done = run_cookiecutter(tmp_path, PATH=str(tmp_path / "no programs"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "my-project is ready" in done.stdout
    assert not (tmp_path / "my-project" / ".env").exists()


def test_an_unknown_accelerator_in_the_user_s_env_stops_nothing(tmp_path):
    settings = tmp_path / "my-project" / ".env"
    settings.parent.mkdir()
    settings.write_text("ACCELERATOR=foo\n")

    done = run_cookiecutter(tmp_path, *INTO_EXISTING)

    assert done.returncode == 0
    assert "ACCELERATOR=foo in .env is unknown" in done.stderr
    assert settings.read_text().startswith("ACCELERATOR=foo\n")
    assert (tmp_path / "my-project" / "compose.yaml").is_file()


def test_an_engine_that_never_answers_stops_nothing(tmp_path, monkeypatch, capsys):
    def hang(command, env, timeout):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", hang)

    runpy.run_path(str(HOOK))

    said = capsys.readouterr().out
    assert "then run: sh docker/write-env.sh" in said
    assert f"{tmp_path.name} is ready" in said


@pytest.mark.parametrize(("url", "is_said"), [("", False), ("https://pypi.example.com/simple", True)])
def test_the_login_of_a_private_index_is_among_the_next_steps(tmp_path, url, is_said):
    done = run_cookiecutter(tmp_path, f"private_index={url}")

    assert ("\n  export PYPI_ACCOUNT=you PYPI_PASSWORD='…'\n" in done.stdout) is is_said


def test_the_encoding_of_the_system_does_not_matter(tmp_path, monkeypatch):
    """The questions have Japanese letters, and a path in .env may have any; Windows decodes otherwise."""
    for name, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "my-project"
    folder.mkdir()
    (folder / ".env").write_text("DATA_DIR=/写真\nACCELERATOR=cpu\n", encoding="utf-8")

    done = run_cookiecutter(tmp_path, *INTO_EXISTING)

    assert done.returncode == 0, done.stderr
    assert "about" in done.stdout
