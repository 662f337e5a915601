"""predict.py and train.py refuse what they cannot do in one line, before Ray starts: with stand-in packages.

The project's own tests (tests/test_cluster.py there) do it with the real ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.generation.conftest import COMBINATIONS, sentence

# Ray must not start. The text of a model decides what ONNX Runtime does with it.
STAND_INS = """
import os, runpy, sys
from pathlib import Path
from unittest.mock import MagicMock

class Session:
    def __init__(self, model, *options, **named):
        self.text = Path(model).read_text()
        os.write(2, b"a line of ONNX Runtime's\\n")
        if self.text == "broken":
            raise RuntimeError(f" : INVALID_PROTOBUF : Load model from {model} failed:broken")
        if self.text == "for a GPU":
            raise type("NotImplemented", (Exception,), {})(" : NOT_IMPLEMENTED : no kernel")

    def get_providers(self):
        return ["CPUExecutionProvider"]

    def run(self, outputs, inputs):
        raise ValueError(f"Required inputs (['x']) are missing from input feed ({[*inputs]}).")

for name in ("cv2", "onnxruntime", "pyarrow", "pyarrow.compute", "pyarrow.dataset", "ray", "ray.data",
             "ray.exceptions", "ray.train", "ray.train.torch", "torch", "my_project.digits",
             "my_project.exported", "my_project.training"):
    sys.modules[name] = MagicMock()
sys.modules["cv2"].error = type("error", (Exception,), {})
sys.modules["ray"].init.side_effect = SystemExit("Ray was started")
sys.modules["ray.exceptions"].RayError = type("RayError", (Exception,), {})
sys.modules["ray"].train.TrainingFailedError = type("TrainingFailedError", (Exception,), {})
sys.modules["onnxruntime"].InferenceSession = Session
sys.modules["onnxruntime"].get_available_providers.return_value = ["CPUExecutionProvider"]
sys.argv.pop(0)
"""
START = "runpy.run_path(sys.argv[0], run_name='__main__')"
RUN = STAND_INS + START
CHOOSE = """
import my_project.cluster as cluster
resources, wanted = {"CPU": 4.0, "GPU": float(sys.argv[0])}, int(sys.argv[1]) or None
lost = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
sys.modules["ray"].nodes.return_value = [lost, {"Alive": True, "Resources": resources}]
try:
    print(cluster.choose_workers(wanted, cluster.Needs(cpus=0, gpus=1), 0.1))
except ValueError as error:
    print(error)
"""
CONNECT = """
import my_project.cluster as cluster
sys.modules["ray"].init.side_effect = None
cluster.connect()
print(sys.modules["ray"].init.call_args.kwargs.get("address"))
"""
POOL = """
import multiprocessing, signal, time
from my_project import stopping
stopping.catch_signals()
pool = multiprocessing.get_context("fork").Pool(1)
pool.apply(int)
pool.apply_async(time.sleep, [60])
time.sleep(0.3)
pool.terminate()
pool.join()
print(signal.getsignal(signal.SIGTERM) is stopping._interrupt)
"""
# An environment, a script of it, an option that takes a number.
NUMBERS = [
    ("inference", "predict.py", "--workers"),
    ("full", "predict.py", "--workers"),
    ("full", "train.py", "--workers"),
    ("full", "train.py", "--epochs"),
    ("full", "script.py", "--epochs"),
]
# An environment, a script of it, and what it calls after it has started.
CALLS = [
    ("inference", "script.py", "cv2.imdecode"),
    ("full", "script.py", "my_project.digits.load"),
    ("inference", "predict.py", "ray.init"),
    ("full", "train.py", "ray.init"),
]
# As root, without root's right to read every file.
LIKE_A_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []


def of_environment(projects, environment: str) -> BakedProject:
    """Return a project with Ray. Do not change it."""
    ray = {**COMBINATIONS[0], "environment": environment, "scale_out": "ray"}
    return projects[sentence(ray)]


def run(
    project: BakedProject, code: str, *arguments: str | Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code in the project, with its package."""
    source = {
        **os.environ,
        **settings,
        "PYTHONPATH": str(project.path / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [*LIKE_A_USER, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=project.path, env=source, capture_output=True, text=True)


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder with a picture, which nothing reads."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/one.png").touch()
    return tmp_path / "pictures"


@pytest.mark.parametrize("environment", ["inference", "full"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_text("broken"), "broken"),
        (lambda path: path.write_text("of other inputs"), "Required inputs (['x']) are missing"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.touch(0), "Permission denied"),
    ],
    ids=["broken", "other inputs", "folder", "unreadable"],
)
def test_a_model_that_cannot_be_used_is_named_before_ray_starts(
    projects, pictures, tmp_path, environment, make, why
):
    project, model = of_environment(projects, environment), tmp_path / "my.onnx"
    make(model)

    done = run(project, RUN, "predict.py", pictures, "--model", model, "--output", tmp_path / "result")

    assert done.stderr.startswith(f"predict.py: {model}: {why}")
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (1, "")


def test_a_model_with_an_operator_for_gpus_alone_is_left_to_the_workers(projects, pictures, tmp_path):
    model = tmp_path / "my.onnx"
    model.write_text("for a GPU")

    done = run(
        of_environment(projects, "full"),
        *(RUN, "predict.py", pictures, "--model", model, "--output", tmp_path / "result"),
    )

    assert done.stderr == "Ray was started\n"


@pytest.mark.parametrize("value", ["0", "-2"])
@pytest.mark.parametrize(("environment", "script", "option"), NUMBERS)
def test_a_number_below_one_is_refused_with_the_option_s_name(projects, environment, script, option, value):
    done = run(of_environment(projects, environment), RUN, script, option, value)

    expected = f"{script}: error: argument {option}: {value} is not a number of 1 or more"
    assert done.stderr.splitlines()[-1:] == [expected]
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("gpus", "wanted", "printed"),
    [
        ("2", "0", "2"),
        ("2", "1", "1"),
        (
            "2",
            "3",
            "3 workers do not fit: each takes 1 GPU, and reading takes 0.1 CPU; the cluster has 4 CPUs and "
            "2 GPUs, enough for 2. Use fewer --workers, or add machines",
        ),
        (
            "0.5",
            "0",
            "no worker fits: each takes 1 GPU, and reading takes 0.1 CPU; the cluster has 4 CPUs and "
            "0.5 GPUs. Add machines",
        ),
    ],
)
def test_too_many_workers_are_refused_with_how_many_fit(projects, gpus, wanted, printed):
    done = run(of_environment(projects, "full"), STAND_INS + CHOOSE, gpus, wanted)

    assert (done.stdout, done.stderr) == (f"{printed}\n", "")


@pytest.mark.parametrize(("address", "given"), [("", "local"), ("10.0.0.9:6379", None)])
def test_ray_joins_the_cluster_that_started_the_script_and_no_other(projects, tmp_path, address, given):
    """Not the one that /tmp/ray names: without an address, Ray looks there."""
    settings = {"RAY_ADDRESS": address, "HOME": str(tmp_path)}

    done = run(of_environment(projects, "full"), STAND_INS + CONNECT, "", **settings)

    assert (done.stdout, done.stderr) == (f"{given}\n", "")


@pytest.mark.parametrize(("environment", "script", "call"), CALLS)
@pytest.mark.parametrize(
    ("error", "last"),
    [
        ("OSError('the hub does not answer')", "OSError: the hub does not answer"),
        ("ValueError('shapes do not match')", "ValueError: shapes do not match"),
        ("FileNotFoundError(2, 'No such file', 'a.csv')", None),
    ],
)
def test_an_error_of_the_owner_s_code_keeps_its_traceback_unless_it_names_a_file(
    projects, pictures, tmp_path, environment, script, call, error, last
):
    module, _, function = call.rpartition(".")
    fail = f"sys.modules[{module!r}].{function}.side_effect = {error}\n"
    (tmp_path / "my.onnx").write_text("for a GPU")
    given = ["--output", tmp_path / "result"]
    given += [pictures, "--model", tmp_path / "my.onnx"] if script == "predict.py" else []

    done = run(of_environment(projects, environment), STAND_INS + fail + START, script, *given)

    assert (done.returncode, done.stdout) == (1, "")
    if last:
        assert done.stderr.startswith("Traceback")
        assert done.stderr.splitlines()[-1] == last
    else:
        assert done.stderr == f"{script}: a.csv: No such file\n"


def test_a_pool_of_processes_ends_without_tracebacks(projects):
    """It ends them by SIGTERM, which only the script itself takes for a stop."""
    done = run(of_environment(projects, "full"), POOL)

    assert (done.stdout, done.stderr) == ("True\n", "")
