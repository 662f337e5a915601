"""What GitHub reads in this repository: workflows, releases, Dependabot, issue forms."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import TEMPLATE
from tools.release_notes import section

GITHUB = TEMPLATE / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*"))
ZIZMOR = [Path(sysconfig.get_path("scripts")) / "zizmor", "--offline", "--no-progress", "--quiet"]
VERSION = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())["project"]["version"]
PIN = re.compile(r"uses: (\S+)@([0-9a-f]{40}) # (v[\d.]+)")
CHANGELOG = """\
# Changelog

## Unreleased

- Soon.

## 0.10.0

- Two
  lines.
- More.

## 0.1.0

- First.

## 0.0.1
"""
GH = """\
#!/bin/sh
echo "$*" >> "$LOG"
case "$1 $2" in "api "* | "issue list") printf '%s' "$ANSWER" ;; esac
exit "${STATUS:-0}"
"""


def lint(*command: str | Path) -> tuple[int, str]:
    """Return the exit status of a linter and what it printed."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def step(tmp_path: Path):
    """step(workflow, job, …): run the last step of a job; return its status and what it asked of gh."""
    gh = tmp_path / "gh"
    gh.write_text(GH)
    gh.chmod(0o755)
    log = tmp_path / "log"
    log.touch()

    def run(workflow: str, job: str, **environment: str) -> tuple[int, list[str]]:
        last = yaml.safe_load((GITHUB / f"workflows/{workflow}.yaml").read_text())["jobs"][job]["steps"][-1]
        env = os.environ | dict.fromkeys(last["env"], "a-value") | environment
        env |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log), "RUNNER_TEMP": str(tmp_path)}
        command = ["bash", "-e", "-c", last["run"]]  # as GitHub starts it
        done = subprocess.run(command, cwd=TEMPLATE, env=env, capture_output=True, text=True)
        return done.returncode, log.read_text().splitlines()

    return run


def test_zizmor_finds_nothing():
    """It reads dependabot.yml, too."""
    assert lint(*ZIZMOR, *WORKFLOWS, GITHUB / "dependabot.yml")[0] == 0


def test_zizmor_finds_an_action_that_is_not_pinned(tmp_path):
    text = (GITHUB / "workflows/test.yaml").read_text()
    (tmp_path / "test.yaml").write_text(re.sub(r"@[0-9a-f]{40} # v\S+", "@v6", text))

    status, output = lint(*ZIZMOR, tmp_path / "test.yaml")

    assert status != 0
    assert "unpinned-uses" in output


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", "workflows/*"),
        ("dependabot", "dependabot.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/*"),
    ],
)
def test_github_can_read_its_files(schema, files):
    paths = sorted(GITHUB.glob(files))

    assert paths
    status, output = lint(
        sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *paths
    )
    assert status == 0, output


def test_a_token_may_read_and_two_jobs_write_one_thing_each():
    """zizmor passes write-all in a workflow of one job."""
    loaded = [yaml.safe_load(file.read_text()) for file in WORKFLOWS]
    jobs = {name: job.get("permissions", {}) for data in loaded for name, job in data["jobs"].items()}
    writing = {name: granted for name, granted in jobs.items() if "write" in str(granted)}

    assert writing == {"release": {"contents": "write"}, "report": {"issues": "write"}}
    assert all(data["permissions"] in ({}, {"contents": "read"}) for data in loaded)


@pytest.mark.parametrize("private_index", ["", "https://pypi.example.com/simple"])
def test_the_token_of_a_generated_workflow_may_only_read(bake, private_index):
    """SECURITY.md promises it; zizmor passes `contents: write` in a workflow of one job."""
    (generated,) = (bake(private_index=private_index).path / ".github/workflows").iterdir()
    workflow = yaml.safe_load(generated.read_text())

    assert workflow["permissions"] == {"contents": "read"}
    assert [name for name, job in workflow["jobs"].items() if "permissions" in job] == []


def test_a_generated_workflow_pins_what_ours_pin():
    """Dependabot renews ours; the file of the template it cannot find."""
    (generated,) = (TEMPLATE / "{{checked(cookiecutter.project)}}/.github/workflows").iterdir()
    ours = {match.groups() for file in WORKFLOWS for match in PIN.finditer(file.read_text())}
    theirs = {match.groups() for match in PIN.finditer(generated.read_text())}

    assert theirs
    assert theirs <= ours


def test_dependabot_renews_the_actions_of_a_project_and_nothing_else(bake):
    """A newer PyTorch or CUDA would break the versions that belong together."""
    file = bake(github_actions=True).path / ".github/dependabot.yml"
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.dependabot", file]
    ecosystems = [update["package-ecosystem"] for update in yaml.safe_load(file.read_text())["updates"]]

    assert lint(*schema)[0] == 0
    assert lint(*ZIZMOR, file)[0] == 0
    assert ecosystems == ["github-actions"]


def test_the_file_for_coding_agents_is_short_and_names_files_that_exist(bake):
    project = bake()
    text = project.read("AGENTS.md")
    named = set(re.findall(r"`([\w./-]+\.(?:txt|py|sh|toml|md|yaml|example))`", text))

    assert len(text.splitlines()) <= 40
    made_later = {"docker/checks.py"}
    assert {name for name in named - made_later if not (project.path / name).exists()} == set()


@pytest.mark.parametrize(("target", "marks"), [("test", ["not nightly"]), ("test-all", [])])
def test_a_make_target_with_arguments_runs_these_tests_alone(target, marks):
    command = ["make", "--dry-run", target, "ARGS=-k 'a name'"]
    done = subprocess.run(command, cwd=TEMPLATE, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if "-m pytest" in line]
    words = shlex.split(line.partition("-m pytest")[2])
    assert words == [*(word for mark in marks for word in ("-m", mark)), "-k", "a name"]


def test_release_notes_are_the_section_of_the_version():
    assert section(CHANGELOG, "0.10.0") == "- Two\n  lines.\n- More.\n"
    assert section(CHANGELOG, "0.1.0") == "- First.\n"


@pytest.mark.parametrize("version", ["0.2.0", "0.1", "0.0.1"], ids=["absent", "a prefix", "empty"])
def test_a_version_without_notes_is_refused(version):
    with pytest.raises(ValueError, match=f'no text below "## {re.escape(version)}"'):
        section(CHANGELOG, version)


@pytest.mark.parametrize("others", ["", f"refs/tags/{VERSION}1\n"], ids=["no tag", "a longer tag"])
def test_a_new_version_gets_a_tag_and_a_release(step, tmp_path, others):
    status, calls = step("release", "release", ANSWER=others, GITHUB_SHA="the-commit")

    assert status == 0
    assert f"release create {VERSION} --target the-commit" in calls[-1]
    assert (tmp_path / "notes.md").read_text() == section((TEMPLATE / "CHANGELOG.md").read_text(), VERSION)


def test_a_version_with_a_tag_is_left_alone(step):
    status, calls = step("release", "release", ANSWER=f"refs/tags/{VERSION}1\nrefs/tags/{VERSION}\n")

    assert status == 0
    assert [call.split()[0] for call in calls] == ["api"]


def test_without_an_answer_about_tags_nothing_is_released(step):
    status, calls = step("release", "release", ANSWER="", STATUS="1")

    assert status == 1
    assert [call.split()[0] for call in calls] == ["api"]


@pytest.mark.parametrize(
    ("open_issue", "written"),
    [("", "issue create --title The weekly run failed"), ("7\n", "issue comment 7")],
)
def test_a_failed_week_is_reported_in_one_issue(step, open_issue, written):
    status, calls = step("weekly", "report", ANSWER=open_issue, RUN="the-run", TESTS="failure")

    assert status == 0
    assert len(calls) == 2
    assert calls[1].startswith(written)
    assert "--body the-run: make test-all: failure" in calls[1]
