"""docker/checks.py, the owner's own checks: found, run, and no reason for the doctor to stop."""

from __future__ import annotations

import json

import pytest
from doctor import ok, registry
from doctor.report import main

from tests.generation.doctor.conftest import FULL


@pytest.fixture
def findings(machine, monkeypatch, capsys):
    """findings(code, *options): the exit code and the findings with this docker/checks.py."""

    def check_ours(facts):
        yield ok("ours")

    monkeypatch.setattr(registry, "CHECKS", [registry.Check(check_ours)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    def run(code: str, *options: str) -> tuple[int, list[dict]]:
        (machine.root / "checks.py").write_text(code)
        returned = main(["--json", *options])
        return returned, json.loads(capsys.readouterr().out)

    return run


HEALTHY = """
from doctor import ok

def check_data_set(facts):
    yield ok(f"for {facts.environment}")

def helper(facts):
    raise RuntimeError("not a check")
"""


def test_a_check_of_the_owner_runs_after_ours(findings):
    code, found = findings(HEALTHY)

    assert code == 0
    assert [(f["check"], f["status"], f["found"]) for f in found] == [
        ("ours", "ok", "ours"),
        ("data-set", "ok", "for full"),
    ]


def test_what_the_file_imports_is_no_check_of_the_owner_s(findings):
    code, found = findings("from subprocess import check_output\nfrom doctor.packages import check_python\n")

    assert (code, [f["check"] for f in found]) == (0, ["ours"])


def test_a_path_among_the_words_of_a_finding_is_json_too(findings):
    imports = "from pathlib import Path\nfrom doctor import ok\n"

    _, found = findings(f"{imports}def check_data(facts):\n    yield ok(Path('/data'))\n")

    assert found[-1]["found"] == "/data"


def test_a_problem_of_the_owner_fails_the_doctor(findings):
    code, found = findings(
        "from doctor import problem\n"
        "def check_data(facts):\n    yield problem('/data is missing', 'train.py reads it', 'mount it')\n"
    )

    assert code == 1
    assert [found[1][key] for key in ("found", "why", "fix")] == [
        "/data is missing",
        "train.py reads it",
        "mount it",
    ]


@pytest.mark.parametrize(("options", "status"), [(["--build"], "skipped"), ([], "ok")], ids=["build", "run"])
def test_a_check_knows_whether_the_image_is_being_built(findings, options, status):
    code, found = findings(
        "from doctor import ok, skipped\n"
        "def check_data(facts):\n    yield skipped('later') if facts.building else ok('there')\n",
        *options,
    )

    assert (code, found[1]["status"]) == (0, status)


def test_a_check_that_yields_nothing_is_fine(findings):
    code, found = findings("def check_data(facts):\n    yield from ()\n")

    assert code == 0
    assert (found[1]["check"], found[1]["found"]) == ("data", "nothing to report")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param("raise RuntimeError('surprise')", "RuntimeError: surprise", id="it raises"),
        pytest.param("raise SystemExit(0)", "SystemExit: 0", id="it ends the process"),
        pytest.param("return None", "TypeError: ", id="it returns nothing"),
        pytest.param("yield 'a text'", "TypeError: ", id="it yields no finding"),
    ],
)
def test_a_check_that_fails_itself_is_a_problem_and_the_others_go_on(findings, body, named):
    after = "def check_after(facts):\n    yield from ()\n"

    code, found = findings(f"def check_broken(facts):\n    {body}\n{after}")

    assert code == 1
    assert [(f["check"], f["status"]) for f in found[1:]] == [("broken", "problem"), ("after", "ok")]
    assert found[1]["found"].startswith(f"the check itself failed: {named}")
    assert found[1]["fix"] == "correct docker/checks.py; docker compose build"


UNUSABLE = {
    "SyntaxError: expected ':' (checks.py, line 1)": "def check_data(facts)\n    pass\n",
    "ModuleNotFoundError: No module named 'not_installed'": "import not_installed\n",
    "ImportError: cannot import name 'okay'": "from doctor import okay\n",
    "SystemExit: 0": "raise SystemExit(0)\n",
    "SyntaxError: source code": "\0",
}


@pytest.mark.parametrize(("named", "code"), UNUSABLE.items(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_is_a_problem_and_ours_go_on(findings, named, code):
    returned, found = findings(code)

    assert returned == 1
    assert [f["check"] for f in found] == ["ours", "checks"]
    assert found[1]["found"].startswith(f"docker/checks.py cannot be used: {named}")
    assert found[1]["fix"] == "correct docker/checks.py; docker compose build"
