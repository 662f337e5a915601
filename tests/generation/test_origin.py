"""A project's README names the template that it is from: an address for everybody, a version, the answers."""

from __future__ import annotations

import functools
import http.server
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from capy_template.origin import address, origin
from tests.conftest import TEMPLATE, BakedProject
from tests.generation import test_updates
from tests.generation.test_updates import Repository, succeed

template = test_updates.template
PASSWORD = "s3cr3t-Yq7Z"
ANSWERS = {
    "project": "my-project",
    "environment": "inference",
    "cuda": "cu13-py312",
    "private_index": "",
    "private_packages": "",
    "notebook": False,
    "scale_out": "none",
    "license": "MIT",
    "github_actions": True,
    "readme_language": "en",
}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("gh:org/capy-template", "https://github.com/org/capy-template.git"),
        ("gl:org/group/x", "https://gitlab.com/org/group/x.git"),
        ("https://github.com/org/capy-template", "https://github.com/org/capy-template"),
        ("git+https://git.example.com/x.git", "https://git.example.com/x.git"),
        ("git@github.com:org/x.git", "git@github.com:org/x.git"),
        ("ssh://git@example.com:2222/org/x.git", "ssh://git@example.com:2222/org/x.git"),
        (f"https://me:{PASSWORD}@git.example.com/x", "https://git.example.com/x"),
        (f"https://{PASSWORD}@git.example.com/x", "https://git.example.com/x"),
        (f"https://me:p@{PASSWORD}@git.example.com/x", "https://git.example.com/x"),
        ("https://example.com/x.zip", ""),
        (".", ""),
        ("../capy-template", ""),
        ("/home/me/capy-template", ""),
        ("C:\\Users\\me\\x", ""),
        ("file:///home/me/capy-template", ""),
        ("mine:capy-template", ""),
        ("https://example.com/x$(reboot)", ""),
        ("https://example.com/x> [y](z)", ""),
        ("https://example.com/x\ny", ""),
        ("", ""),
    ],
)
def test_the_address_is_one_that_others_can_use_or_none(given, written):
    assert address(given) == written


def test_a_forge_s_page_is_linked_and_another_one_is_named():
    pages = {
        given: origin({**ANSWERS, "_template": given}).page("docs/x.md")
        for given in ("gh:org/t", "https://git.example.com/t", "/home/me/t")
    }

    assert re.fullmatch(
        r"\[docs/x\.md\]\(https://github\.com/org/t/blob/\w+/docs/x\.md\)", pages.pop("gh:org/t")
    )
    assert set(pages.values()) == {"`docs/x.md`"}


def test_only_answers_that_are_no_defaults_are_given_to_cruft():
    changed = {"environment": "full", "notebook": True, "private_packages": "it's"}

    plain, other = (
        shlex.split(origin({**ANSWERS, **answers}).link_command)[-2:] for answers in ({}, changed)
    )

    assert plain == ["--default-config", "--no-input"]
    assert other == [
        "--extra-context",
        '{"environment": "full", "private_packages": "it\'s", "notebook": true}',
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server of the test's folder, by its host and port; git can clone from it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{found.server_address[1]}"
        found.shutdown()


def test_a_project_of_a_cloned_template_has_its_address_and_no_password(
    template, server, tmp_path, monkeypatch
):
    template.git("clone", "--quiet", "--bare", ".", "../template.git")
    template.git("--git-dir=../template.git", "update-server-info")
    for folder in ("made", "clones"):
        (tmp_path / folder).mkdir()
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"cookiecutters_dir: {tmp_path}/clones\nreplay_dir: {tmp_path}/replay\n")
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(settings))
    url = f"http://me:{PASSWORD}@{server}/template.git"

    succeed(tmp_path / "made", sys.executable, "-m", "cookiecutter", "--no-input", url, "project=followed")

    project = BakedProject(tmp_path / "made/followed")
    readme = project.read("README.md")
    assert f"<http://{server}/template.git>" in readme
    assert [
        name for name in project.files() if PASSWORD in (project.path / name).read_bytes().decode("latin-1")
    ] == []
    assert "URL-OF-THE-TEMPLATE" not in readme
    [line] = re.findall(r"(?m)^uvx (cruft link .*)$", readme)
    repository = Repository(project.path)
    repository.git("init", "--quiet")
    repository.commit("Generated")
    succeed(project.path, sys.executable, "-m", *shlex.split(line))
    assert "up to date" in succeed(project.path, sys.executable, "-m", "cruft", "check")
    assert "diff --git" not in succeed(project.path, sys.executable, "-m", "cruft", "diff")


@pytest.mark.parametrize("why", ["no repository", "no git"])
def test_without_a_commit_the_version_is_written(why, tmp_path, monkeypatch):
    for name in ("capy_template", "pyproject.toml"):
        subprocess.run(["cp", "-r", TEMPLATE / name, tmp_path], check=True)
    if why == "no git":
        subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
        monkeypatch.setenv("PATH", "/nonexistent")

    done = subprocess.run(
        [sys.executable, "-c", "from capy_template.origin import commit; print(commit())"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
