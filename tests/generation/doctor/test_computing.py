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
        ("CUDA unknown error - this may be due to an incorrectly set up…", "sudo nvidia-modprobe -u -c 0"),
        ("CUDA failure 999: unknown error ; GPU=0", "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"),
        ("Error 804: forward compatibility was attempted on non supported HW", "nvidia-smi shows CUDA 12.4"),
        ("CUDA failure 214: uncorrectable ECC error encountered ; GPU=0", "sudo dmesg | grep NVRM"),
        ("libcuda.so.1: cannot open shared object file", "sudo nvidia-ctk runtime configure"),
        ("CUDA failure 100: no CUDA-capable device is detected ; GPU=0", "fix the other problems first; if"),
        ("No CUDA GPUs are available", "if there is none, on the host: sudo dmesg | grep NVRM"),
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "another program uses this GPU: nvidia-smi"),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "sudo dmesg | grep NVRM"),
    ],
)
def test_the_advice_depends_on_the_cause(machine, monkeypatch, error, advice):
    """PyTorch's errors have more lines after the one with the cause."""
    machine.gpu()
    monkeypatch.setenv("CUDA_VERSION", "12.4.1")
    machine.torch(
        code=f"def arange(*_): raise RuntimeError({error + chr(10)!r} 'Compile with TORCH_USE_CUDA_DSA')"
    )

    assert advice in machine.problems("torch")
    assert "--no-cache" not in machine.problems("torch")


@pytest.mark.parametrize(
    "error",
    [
        "ImportError('libcudnn.so.9: cannot open shared object file: No such file or directory')",
        "ImportError('libtorch_cuda.so: undefined symbol: ncclCommWindowRegister')",
        "ModuleNotFoundError('No module named \\'torch._C\\'')",
        "RuntimeError('cuDNN error: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH')",
    ],
)
def test_only_damaged_packages_are_installed_again(machine, monkeypatch, error):
    machine.gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    machine.torch(code=f"raise {error}")

    assert "fix the other problems first, then: docker compose build --no-cache" in machine.problems("torch")


def test_without_a_gpu_the_packages_are_to_blame(machine):
    machine.torch(code="def arange(*_): raise RuntimeError('unknown error')")

    (finding,) = machine.finds("torch", "cpu")

    assert finding.fix == "fix the other problems first, then: docker compose build --no-cache"


def test_a_choice_of_gpus_that_hides_the_container_s_is_named(machine, monkeypatch):
    machine.gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    machine.torch(code="def arange(*_): raise RuntimeError('No CUDA GPUs are available')")

    assert "remove CUDA_VISIBLE_DEVICES=3: a container numbers" in machine.problems("torch")


@pytest.mark.parametrize("error", ["No CUDA GPUs are available", "CUDA failure 999: unknown error"])
def test_on_wsl_the_choice_of_a_gpu_stays_and_no_module_is_loaded(machine, monkeypatch, error):
    """There a container has every GPU, and no kernel module of NVIDIA."""
    (machine.root / "dev/dxg").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    machine.torch(code=f"def arange(*_): raise RuntimeError('{error}')")

    problems = machine.problems("torch")

    assert "CUDA_VISIBLE_DEVICES=3 must be a GPU of nvidia-smi -L" in problems
    assert "in Windows: wsl --shutdown" in problems
    assert not any(wrong in problems for wrong in ("remove", "GPU_IDS", "modprobe", "dmesg"))


def test_on_wsl_another_gpu_is_chosen_by_cuda_itself(machine):
    (machine.root / "dev/dxg").touch()
    machine.torch(code="def arange(*_): raise RuntimeError('CUDA error: out of memory')")

    problems = machine.problems("torch")

    assert "take another one: CUDA_VISIBLE_DEVICES below environment in compose.project.yaml" in problems
    assert "GPU_IDS" not in problems


def test_what_a_package_prints_at_the_start_and_the_end_is_no_result(machine):
    machine.gpu()
    machine.module("numpy", NUMPY)
    noise = "import atexit\nprint('hello')\natexit.register(print, 'bye')\n"
    machine.onnxruntime(code=noise + SESSION.format(providers="providers", numbers=RIGHT_NUMBERS))

    assert machine.problems("onnxruntime") == ""
