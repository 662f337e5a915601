"""The checks that compute; the frameworks are stand-ins of a few lines."""

import pytest

RIGHT_NUMBERS = "[1140.0, 1692.0, 1716.0, 2556.0]"

SESSION = """
class Result(list):
    flatten = tolist = lambda self: self
class InferenceSession:
    def __init__(self, model, providers, enable_fallback):
        self.providers = {providers}
    def get_providers(self):
        return self.providers
    def run(self, outputs, inputs):
        return [Result({numbers})]
"""
NUMPY = (
    "float32 = 0\nclass arange:\n    def __init__(self, *_, **__): ...\n    reshape = lambda self, *_: self"
)


def test_a_session_on_the_gpu_is_fine(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    machine.onnxruntime(code=SESSION.format(providers="providers", numbers=RIGHT_NUMBERS))

    assert machine.problems("onnxruntime") == ""


def test_a_session_that_falls_back_to_the_cpu_is_named(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    machine.onnxruntime(code=SESSION.format(providers="['CPUExecutionProvider']", numbers=RIGHT_NUMBERS))

    assert "the session runs on CPUExecutionProvider" in machine.problems("onnxruntime")


def test_the_reason_for_a_fallback_comes_from_onnx_runtimes_log(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    log = "import sys\nsys.stderr.write('\\x1b[1;31m[E:onnxruntime:Default] FAIL : Failed to load library"
    log += " x.so with error: libcudnn.so.9: cannot open shared object file\\n\\x1b[m')\n"
    machine.onnxruntime(code=log + SESSION.format(providers="['CPU']", numbers=RIGHT_NUMBERS))

    problems = machine.problems("onnxruntime")

    assert "on CUDAExecutionProvider: libcudnn.so.9: cannot open shared object file |" in problems


@pytest.mark.parametrize("numbers", ["[0.0, 0.0, 0.0, 0.0]", "[float('nan')] * 4"])
def test_wrong_numbers_are_named(machine, numbers):
    machine.gpu()
    machine.module("numpy", NUMPY)
    machine.onnxruntime(code=SESSION.format(providers="providers", numbers=numbers))

    assert "[1140, 1692, 1716, 2556] is right" in machine.problems("onnxruntime")


def test_a_torch_that_cannot_use_the_gpu_is_named(machine):
    machine.gpu()
    machine.torch(code="def arange(*_): raise RuntimeError('No CUDA GPUs are available')")

    assert "torch cannot compute on cuda: RuntimeError: No CUDA GPUs" in machine.problems("torch")


def test_without_a_gpu_nothing_is_computed(machine):
    machine.onnxruntime()

    assert [finding.status for finding in machine.finds("onnxruntime")] == ["skipped"]


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", "another program uses this GPU: nvidia-smi"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "another one: GPU_IDS in .env"),
        ("Error 802: system not yet initialized", "sudo systemctl start nvidia-fabricmanager"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "reboot the host"),
        ("No CUDA GPUs are available", "fix the other problems first"),
    ],
)
def test_the_advice_depends_on_the_cause(machine, error, advice):
    """PyTorch's errors have more lines after the one with the cause."""
    machine.gpu()
    machine.torch(
        code=f"def arange(*_): raise RuntimeError({error + chr(10)!r} 'Compile with TORCH_USE_CUDA_DSA')"
    )

    assert advice in machine.problems("torch")


def test_a_choice_of_gpus_that_hides_the_container_s_is_named(machine, monkeypatch):
    machine.gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    machine.torch(code="def arange(*_): raise RuntimeError('No CUDA GPUs are available')")

    assert "remove CUDA_VISIBLE_DEVICES=3: a container numbers" in machine.problems("torch")


def test_what_a_package_prints_at_the_start_and_the_end_is_no_result(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    noise = "import atexit\nprint('hello')\natexit.register(print, 'bye')\n"
    machine.onnxruntime(code=noise + SESSION.format(providers="providers", numbers=RIGHT_NUMBERS))

    assert machine.problems("onnxruntime") == ""
