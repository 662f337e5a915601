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
