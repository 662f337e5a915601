"""Check that the frameworks compute the right result on this device."""

from __future__ import annotations

import json
import os
import re

from .facts import WITHOUT_GPU, Facts
from .findings import Finding, Findings, ok, problem, skipped
from .gpu import TOOLKIT, gpu_devices, gpu_setting, newer_driver, on_wsl, query_gpus
from .installed import package
from .processes import AGAIN, NO_ANSWER, error_summary, python
from .shared_objects import DRIVER_LIBRARY

# x[1,1,4,4] -> Conv with 0..8 as 3x3 kernel (cuDNN) -> MatMul with [[1,2],[3,4]] (cuBLAS) -> y.
# Whole numbers are exact on every GPU. Made with onnx.helper; opset 13, IR version 8.
MODEL = (
    "CAg6swEKDwoBeAoBaxIBYyIEQ29udgoRCgFjCgFtEgF5IgZNYXRNdWwSAWcqMwgBCAEIAwgDEAFCAWtKJAAAAAAA"
    "AIA/AAAAQAAAQEAAAIBAAACgQAAAwEAAAOBAAAAAQSobCAIIAhABQgFtShAAAIA/AAAAQAAAQEAAAIBAWhsKAXgS"
    "FgoUCAESEAoCCAEKAggBCgIIBAoCCARiGwoBeRIWChQIARIQCgIIAQoCCAEKAggCCgIIAkIECgAQDQ=="
)
RESULT = [1140, 1692, 1716, 2556]  # for x = 0..15

ONNXRUNTIME_SCRIPT = """
import base64, json, sys
import numpy, onnxruntime
device, model = sys.argv[1], base64.b64decode(sys.argv[2])
session = onnxruntime.InferenceSession(model, providers=[device], enable_fallback=False)
if session.get_providers()[0] != device:
    sys.exit(f"the session runs on {session.get_providers()[0]}")
x = numpy.arange(16, dtype=numpy.float32).reshape(1, 1, 4, 4)
print(json.dumps(session.run(None, {"x": x})[0].flatten().tolist()))
"""

TORCH_SCRIPT = """
import json, sys
import torch
device = sys.argv[1]
x, k = torch.arange(16.0).reshape(1, 1, 4, 4), torch.arange(9.0).reshape(1, 1, 3, 3)
y = torch.nn.functional.conv2d(x.to(device), k.to(device))
y = y @ torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
print(json.dumps(y.flatten().tolist()))
"""

REINSTALL = "fix the other problems first, then: docker compose build --no-cache"


def check_onnxruntime(facts: Facts) -> Findings:
    """Run a real session: get_available_providers() lists CUDA even if it does not work."""
    device = "CUDAExecutionProvider" if facts.on_gpu else "CPUExecutionProvider"
    yield compute(facts, "onnxruntime", ONNXRUNTIME_SCRIPT, device, MODEL)


def check_torch(facts: Facts) -> Findings:
    """Run real kernels and check their result."""
    yield compute(facts, "torch", TORCH_SCRIPT, "cuda" if facts.on_gpu else "cpu")


def compute(facts: Facts, framework: str, script: str, device: str, *more: str) -> Finding:
    """Run `script` on `device` and compare what it prints with RESULT."""
    if framework not in facts.frameworks:
        return skipped(f"not part of the environment {facts.environment}")
    if not package(framework):
        return skipped("not installed (see packages)")
    if facts.on_gpu and not gpu_devices() and not query_gpus():
        return skipped("there is no GPU (see gpu)")
    printed, error = python(script, device, *more)
    if error:
        return problem(
            f"{framework} cannot compute on {device}: {error_summary(error)}",
            "ONNX Runtime falls back to the CPU without an error; torch stops"
            if facts.on_gpu
            else "scripts that use it fail",
            remedy(error, facts),
        )
    lines = [line for line in printed.splitlines() if line.startswith("[")]  # and sitecustomize's
    got = json.loads(lines[-1])
    if not all(abs(a - b) < 0.5 for a, b in zip(got, RESULT, strict=True)):  # 0.5: TF32 may round
        return problem(
            f"{framework} computes {got} on {device}; {RESULT} is right",
            "all results of this GPU may be wrong",
            f"another GPU: {gpu_setting()}; {newer_driver(facts)}; {WITHOUT_GPU}",
        )
    return ok(f"convolution and matrix product on {device} are right")


def causes(facts: Facts) -> list[tuple[str, str]]:
    """Return what an error on a GPU may say, in CUDA's words, and what to type for each."""
    cuda = ".".join(os.environ.get("CUDA_VERSION", str(facts.cuda)).split(".")[:2])
    known = [
        (rf"({DRIVER_LIBRARY.pattern})\S* cannot open shared object", TOOLKIT),
        ("cannot open shared object|undefined symbol|No module named|SUBLIBRARY", REINSTALL),
        (
            "out of memory|busy or unavailable|STATUS_(ALLOC_FAILED|NOT_INITIALIZED)",
            f"another program uses this GPU: nvidia-smi; take another one: {gpu_setting()}",
        ),
        (
            "(Error|failure) 802|system not yet initialized",
            "on the host: sudo systemctl start nvidia-fabricmanager",
        ),
        (
            "(Error|failure) 803|unsupported display driver",
            "reboot the host: its driver was updated",
        ),
        (
            "(Error|failure) 804|forward compatibility was attempted",
            f"{newer_driver(facts)}, until nvidia-smi shows CUDA {cuda} or newer",
        ),
        (NO_ANSWER, AGAIN),
    ]
    on_linux = [
        (
            "(Error|failure) 999|unknown error",
            "on the host: sudo nvidia-modprobe -u -c 0; after suspend: sudo rmmod nvidia_uvm && "
            "sudo modprobe nvidia_uvm; then start a new container",
        ),
        (
            "uncorrectable ECC|Xid|is lost|fallen off the bus",
            "on the host: sudo dmesg | grep NVRM; then reboot it",
        ),
    ]
    return known if on_wsl() else known + on_linux  # WSL 2 has no kernel module of NVIDIA


def remedy(error: str, facts: Facts) -> str:
    """Return what to type after an error of a framework."""
    if not facts.on_gpu:
        return REINSTALL
    for cause, way in causes(facts):
        if re.search(cause, error):
            return way
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if on_wsl():
        way = "fix the other problems first; if there is none, in Windows: wsl --shutdown"
        number = f"CUDA_VISIBLE_DEVICES={chosen} must be a GPU of nvidia-smi -L; "
        return way if chosen is None else number + way
    if chosen is not None:
        return (
            f"remove CUDA_VISIBLE_DEVICES={chosen}: a container numbers its own GPUs from 0; to "
            "choose one: GPU_IDS in .env"
        )
    return (
        "fix the other problems first; if there is none, on the host: sudo dmesg | grep NVRM; "
        "then reboot it"
    )
