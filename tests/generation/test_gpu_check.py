"""The GPU check as far as a machine without a GPU goes: what is carried, and how it judges."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.conftest import TEMPLATE
from tools.gpu_check.pack import split

FOLDER = TEMPLATE / "tools/gpu_check"
OK = {"status": "ok", "found": "a convolution and a matrix product are right"}
PROBLEM = {"status": "problem", "found": "CUDA cannot be used"}


@pytest.fixture
def check(monkeypatch) -> SimpleNamespace:
    """The modules that run beside the GPU, as they find each other there."""
    monkeypatch.syspath_prepend(FOLDER)
    modules: dict[str, ModuleType] = {}
    for name in ("environment", "report", "steps"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        modules[name] = importlib.import_module(name)
    yield SimpleNamespace(**modules)
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def pieces(tmp_path) -> Path:
    """A wheel in three pieces."""
    wheel = tmp_path / "package-1.0-py3-none-any.whl"
    wheel.write_bytes(bytes(range(250)))
    split(wheel, tmp_path / "pieces", size=100)
    return tmp_path / "pieces"


def test_the_pieces_are_put_together_again(check, pieces, tmp_path):
    wheel = check.environment.put_together(pieces, tmp_path / "there")

    assert {path.name: path.stat().st_size for path in pieces.glob("piece-*")} == {
        "piece-0": 100,
        "piece-1": 100,
        "piece-2": 50,
    }
    assert (wheel.name, wheel.read_bytes()) == ("package-1.0-py3-none-any.whl", bytes(range(250)))


def test_a_missing_piece_is_named(check, pieces, tmp_path):
    (pieces / "piece-1").unlink()

    with pytest.raises(check.environment.CannotCheck, match="lacks piece-1: copy it here, too"):
        check.environment.put_together(pieces, tmp_path / "there")


def test_a_piece_of_another_wheel_is_refused(check, pieces, tmp_path):
    (pieces / "piece-1").write_bytes(b"x" * 100)

    with pytest.raises(check.environment.CannotCheck, match="do not make package-1"):
        check.environment.put_together(pieces, tmp_path / "there")


@pytest.mark.parametrize(
    ("torch", "driver", "on_gpu", "agrees"),
    [
        pytest.param(OK, OK, True, True, id="both work"),
        pytest.param(PROBLEM, OK, False, True, id="neither works"),
        pytest.param(OK, OK, False, False, id="the doctor promised the GPU"),
        pytest.param(PROBLEM, OK, True, False, id="the doctor did not promise it"),
        pytest.param(OK, PROBLEM, True, False, id="the doctor warns of something that works"),
    ],
)
def test_the_doctor_and_the_gpu_are_compared(check, tmp_path, torch, driver, on_gpu, agrees):
    machine = check.steps.Machine(tmp_path, {"training": {"torch": torch, "driver": driver}})
    report = check.report.Report()

    check.steps.compare(machine, report, "training", on_gpu)

    assert (report.is_bad(), report.disagreements == []) == (not agrees, agrees)


def test_what_a_container_alone_has_is_not_judged(check, tmp_path):
    machine = check.steps.Machine(tmp_path, {"training": {"torch": OK, "folders": PROBLEM, "cudnn": PROBLEM}})
    report = check.report.Report()

    check.steps.compare(machine, report, "training", on_gpu=True)

    assert not report.is_bad()


FULL_HD = "1920 x 1080: CPU 38.20 ms, GPU 0.40 ms, 95.5 times as fast"
ON_A_GPU = {
    "inference": f"provider  CUDAExecutionProvider\nspeed     {FULL_HD}\n",
    "training": "epoch  20  loss 0.0202  accuracy  98.61%  0.07 s  22,410 digits/s\ndevice    NVIDIA H200\n",
}


@pytest.mark.parametrize(("name", "printed"), ON_A_GPU.items())
def test_the_report_has_the_speed_of_the_gpu(check, tmp_path, monkeypatch, name, printed):
    report = scripts_report(check, tmp_path, monkeypatch, name, printed)

    speed = FULL_HD if name == "inference" else "22,410 digits/s"
    assert f"| {name} | {speed} |" in report.text(1)
    assert not report.is_bad()


@pytest.mark.parametrize(("name", "printed"), ON_A_GPU.items())
def test_a_script_on_the_gpu_that_does_not_say_how_fast_is_a_failure(
    check, tmp_path, monkeypatch, name, printed
):
    silent = printed.replace(", GPU", ", TPU").replace(" digits/s", "")

    report = scripts_report(check, tmp_path, monkeypatch, name, silent)

    assert report.failures == [f"script.py, {name}: it ran on the GPU and does not say how fast"]


def scripts_report(check, tmp_path, monkeypatch, name: str, printed: str):
    """Return the report of the step `scripts` where the script of one environment prints this."""
    done = subprocess.CompletedProcess([], 0, printed, "")
    monkeypatch.setattr(check.steps.Machine, "in_project", lambda *_, **__: done)
    monkeypatch.setattr(check.steps.Machine, "environments", [name])
    report = check.report.Report()
    checks = dict.fromkeys(check.steps.COMPUTES[name], OK)
    check.steps.scripts(check.steps.Machine(tmp_path, {name: checks}), report)
    return report


def test_a_step_that_breaks_is_a_failure_and_the_report_is_written(check, tmp_path, monkeypatch):
    monkeypatch.setitem(check.steps.STEPS, "facts", lambda machine, report: 1 / 0)
    report = check.report.Report()

    check.steps.run("facts", check.steps.Machine(tmp_path), report)

    assert report.text(1).splitlines()[0].endswith("0 disagreements, 1 failures")
    assert "- facts: ZeroDivisionError: division by zero" in report.text(1)


def test_after_its_time_no_step_is_begun(check, tmp_path):
    report = check.report.Report()

    check.steps.run("facts", check.steps.Machine(tmp_path, deadline=0), report)

    assert report.failures == ["facts: not started: no time left (--seconds)"]


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(check, tmp_path):
    (tmp_path / "environment").mkdir()
    machine = check.steps.Machine(tmp_path, deadline=0)  # which leaves a second

    done = machine.run("sh", "-c", "sleep 600 & echo $!; wait")

    assert done.returncode < 0
    assert "no answer within 1 s" in done.stderr
    for _ in range(50):  # the kernel takes a moment
        if not Path("/proc", done.stdout.strip()).exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("its child still runs")


def test_the_environment_leaves_the_machine_s_own_python_as_it_is(check, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    venv.create(theirs)
    packages = next(theirs.glob("lib/python3*/site-packages"))
    for name in ("onnxruntime", "other"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("")
    monkeypatch.setattr(check.environment.site, "getsitepackages", lambda: [str(packages)])

    check.environment.make(tmp_path / "made")

    own = next((tmp_path / "made").glob("lib/python3*/site-packages"))
    assert sorted(path.name for path in own.iterdir()) == ["other"]
    assert sorted(path.name for path in packages.iterdir()) == ["onnxruntime", "other"]


def test_without_a_gpu_it_fails_and_says_so(tmp_path):
    """As on a machine whose Python has no PyTorch; the environment of the tests is such a one."""
    kit = tmp_path / "kit"
    project = kit / "projects" / "training"
    (project / "docker").mkdir(parents=True)
    (project / "docker/environment.json").write_text(json.dumps({}))
    subprocess.run(["cp", "-r", FOLDER, kit / "gpu_check"], check=True)
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True)

    done = subprocess.run(
        [
            bare / "bin/python",
            kit / "gpu_check/check.py",
            "--only",
            "facts",
            "--report",
            tmp_path / "report.md",
        ],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    report = (tmp_path / "report.md").read_text()
    assert "No module named 'torch'" in report
    assert "without ONNX Runtime:" in report
    assert not any(tmp_path.glob("gpu-check-*"))
