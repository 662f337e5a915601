"""The GPU check as far as a machine without a GPU goes: what is carried, and how it judges."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.conftest import TEMPLATE
from tests.support.waiting import ends
from tools.gpu_check.pack import split

FOLDER = TEMPLATE / "tools/gpu_check"
OK = {"status": "ok", "found": "a convolution and a matrix product are right"}
PROBLEM = {"status": "problem", "found": "CUDA cannot be used"}
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def check(monkeypatch) -> SimpleNamespace:
    """The modules that run beside the GPU, as they find each other there."""
    monkeypatch.syspath_prepend(FOLDER)
    modules: dict[str, ModuleType] = {}
    for name in ("environment", "report", "steps", "check"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        modules[name] = importlib.import_module(name)
    yield SimpleNamespace(**modules)
    for name in modules:
        sys.modules.pop(name, None)


def wheel(folder: Path, name: str, data: bytes) -> Path:
    """A wheel, as far as the carrying goes."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    path.write_bytes(data)
    return path


@pytest.fixture
def pieces(tmp_path) -> Path:
    """Two wheels in three pieces, the second one with a part of both."""
    wheels = [wheel(tmp_path, "one", bytes(range(150))), wheel(tmp_path, "two", bytes(range(100)))]
    split(wheels, tmp_path / "pieces", size=100, python=THIS)
    return tmp_path / "pieces"


def test_the_pieces_are_put_together_again(check, pieces, tmp_path):
    wheels = check.environment.put_together(pieces, tmp_path / "there")

    assert {path.name: path.stat().st_size for path in pieces.glob("piece-*")} == {
        "piece-0": 100,
        "piece-1": 100,
        "piece-2": 50,
    }
    assert [(path.name, path.read_bytes()) for path in wheels] == [
        ("one-1.0-py3-none-any.whl", bytes(range(150))),
        ("two-1.0-py3-none-any.whl", bytes(range(100))),
    ]


@pytest.mark.parametrize("sizes", [[], [0], [100], [100, 100], [300, 1], [1, 1, 1], [99, 0, 2]], ids=str)
def test_wheels_of_any_size_are_put_together_again(check, tmp_path, sizes):
    wheels = [wheel(tmp_path, f"w{number}", bytes([number]) * size) for number, size in enumerate(sizes)]
    split(wheels, tmp_path / "pieces", size=100, python=THIS)

    there = check.environment.put_together(tmp_path / "pieces", tmp_path / "there")

    assert [path.read_bytes() for path in there] == [path.read_bytes() for path in wheels]
    assert len(list((tmp_path / "pieces").glob("piece-*"))) == -(-sum(sizes) // 100)


def test_pieces_for_another_python_are_refused(check, tmp_path):
    split([wheel(tmp_path, "one", b"1")], tmp_path / "pieces", python="3.1")

    with pytest.raises(check.environment.CannotCheck, match=r"are for Python 3\.1; this is 3\.\d+: PYTHON=…"):
        check.environment.put_together(tmp_path / "pieces", tmp_path / "there")


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\xff"],
    ids=["cut", "empty", "binary"],
)
def test_a_damaged_manifest_is_one_line(check, pieces, tmp_path, spoil):
    manifest = pieces / "manifest.json"
    manifest.write_bytes(spoil(manifest.read_bytes()))

    with pytest.raises(check.environment.CannotCheck) as error:
        check.environment.put_together(pieces, tmp_path / "there")

    assert str(error.value) == f"{manifest} is damaged: copy it here again"
    assert not check.environment.has_everything(pieces)


def test_a_missing_piece_is_named(check, pieces, tmp_path):
    (pieces / "piece-1").unlink()

    with pytest.raises(check.environment.CannotCheck, match="lacks piece-1: copy it here, too"):
        check.environment.put_together(pieces, tmp_path / "there")


def test_a_piece_of_another_wheel_is_refused(check, pieces, tmp_path):
    (pieces / "piece-1").write_bytes(b"x" * 100)

    with pytest.raises(check.environment.CannotCheck, match="do not make one-1"):
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
    assert ends(done.stdout.strip())


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


def test_where_pytorch_is_carried_the_machine_s_packages_are_not_used(check, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    (theirs / "torch").mkdir(parents=True)
    monkeypatch.setattr(check.environment.site, "getsitepackages", lambda: [str(theirs)])
    wheels = []
    for name, file in {"torch": "torch/__init__.py", "triton": "triton/lib/large.a"}.items():
        wheels.append(tmp_path / f"{name}-1.0-py3-none-any.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            archive.writestr(file, "")
    split(wheels, tmp_path / "pieces", python=THIS)
    (tmp_path / "projects").mkdir()

    made = check.check.prepare(tmp_path, tmp_path / "work", tmp_path / "pieces", check.report.Report())

    packages = next((made.work / "environment").glob("lib/python3*/site-packages"))
    assert sorted(
        path.relative_to(packages).as_posix() for path in packages.rglob("*") if path.is_file()
    ) == [
        "torch/__init__.py"  # an image has no static archives of Triton's either
    ]
    (tmp_path / "pieces/piece-0").unlink()
    with pytest.raises(check.environment.CannotCheck, match="lacks piece-0"):
        check.check.prepare(tmp_path, tmp_path / "again", tmp_path / "pieces", check.report.Report())


def test_wheels_with_the_same_folders_are_unpacked_at_once(check, tmp_path, monkeypatch):
    """As NVIDIA's, which share nvidia/cu13: two threads find it missing, and both make it."""
    really = check.environment.zipfile.os.path.exists
    monkeypatch.setattr(
        check.environment.zipfile.os.path, "exists", lambda path: (really(path), time.sleep(0.02))[0]
    )
    wheels = []
    for number in range(4):
        wheels.append(tmp_path / f"nvidia{number}-1.0-py3-none-any.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            archive.writestr(f"nvidia/cu13/include/{number}.h", str(number))
    (tmp_path / "made/lib/python3.12/site-packages").mkdir(parents=True)

    check.environment.add(tmp_path / "made", wheels)

    there = sorted((tmp_path / "made").rglob("*.h"))
    assert [path.read_text() for path in there] == ["0", "1", "2", "3"]


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
