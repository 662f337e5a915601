"""The command: what it prints, and its exit code."""

import json

import pytest
from doctor import ok, problem, registry, remark
from doctor.report import main

from tests.generation.doctor.conftest import BUILD_CHECKS, FULL


def test_a_check_that_crashes_is_a_problem_and_the_others_go_on(machine, monkeypatch, capsys):
    def check_broken(facts):
        yield ok("so far")
        raise RuntimeError("surprise")

    def check_after(facts):
        yield ok("still here")

    monkeypatch.setattr(registry, "CHECKS", [registry.Check(check_broken), registry.Check(check_after)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    code = main([])

    out = capsys.readouterr().out
    assert code == 1
    assert "PROBLEM  broken         the check itself failed: RuntimeError: surprise" in out
    assert "ok       after          still here" in out
    assert "Traceback" not in out


def test_json_has_every_finding_with_its_check(machine, monkeypatch, capsys):
    def check_one_thing(facts):
        yield ok("fine")
        yield problem("broken", "it matters", "type this")

    monkeypatch.setattr(registry, "CHECKS", [registry.Check(check_one_thing)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    code = main(["--json"])

    findings = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [(f["check"], f["status"]) for f in findings] == [("one-thing", "ok"), ("one-thing", "problem")]
    assert [findings[1][key] for key in ("found", "why", "fix")] == ["broken", "it matters", "type this"]


def test_a_build_runs_what_needs_no_gpu_and_no_mounts(machine, capsys):
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    main(["--build", "--json"])

    names = dict.fromkeys(finding["check"] for finding in json.loads(capsys.readouterr().out))
    assert list(names) == BUILD_CHECKS


@pytest.mark.parametrize("text", [None, "{", "[]", '{"environment": "full"}'])
def test_a_broken_environment_file_is_one_clear_line(machine, capsys, text):
    if text is not None:
        (machine.root / "environment.json").write_text(text)

    code = main([])

    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith(f"doctor: {machine.root}/environment.json cannot be used")
    assert len(err.splitlines()) == 1


def test_an_unknown_accelerator_is_one_clear_line(machine, monkeypatch, capsys):
    monkeypatch.setenv("ACCELERATOR", "tpu")

    assert main([]) == 1
    assert capsys.readouterr().err == "doctor: ACCELERATOR=tpu is unknown here; use nvidia or cpu\n"


def test_an_unknown_option_is_a_usage_error():
    with pytest.raises(SystemExit) as error:
        main(["--verbose"])

    assert error.value.code == 2


def test_ctrl_c_ends_it_without_a_traceback(machine, monkeypatch, capsys):
    def check_slow(facts):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "CHECKS", [registry.Check(check_slow)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    assert main([]) == 130
    assert capsys.readouterr().err == ""


def test_a_remark_is_a_line_and_fails_nothing(machine, monkeypatch, capsys):
    def check_one_thing(facts):
        yield remark("the first")
        yield ok("fine")
        yield remark("the second")

    monkeypatch.setattr(registry, "CHECKS", [registry.Check(check_one_thing)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "remark   one-thing      the first",
        "remark   one-thing      the second",
    ]


def test_a_remark_does_not_hide_a_problem(machine, monkeypatch, capsys):
    def check_one_thing(facts):
        yield remark("by the way")
        yield problem("broken", "it matters", "type this")

    monkeypatch.setattr(registry, "CHECKS", [registry.Check(check_one_thing)])
    (machine.root / "environment.json").write_text(json.dumps(FULL))

    assert main([]) == 1
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "PROBLEM  one-thing      broken",
        "remark   one-thing      by the way",
    ]
