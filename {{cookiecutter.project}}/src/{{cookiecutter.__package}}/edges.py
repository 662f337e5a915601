"""Finds the edges of a picture with ONNX Runtime, on the GPU where that really works."""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np


@contextmanager
def native_stderr_muted() -> Iterator[None]:
    """Drop what C++ code writes to stderr; Python's exceptions are not touched."""
    stderr = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


# While it is imported, ONNX Runtime warns of each display that is no GPU (WSL, many cloud
# machines), before any of its own log settings can be made.
with native_stderr_muted():
    import onnxruntime as ort

# TensorRT is left out: it would rebuild its engine at every start.
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(model: Path) -> ort.InferenceSession:
    """Return a session of `model` on CUDA if that works here, else on the CPU.

    `session.get_providers()[0]` names the provider. If the installed ONNX Runtime was built for
    CUDA and falls back all the same, one line on stderr says why.

    Raises OSError if `model` cannot be read, and ValueError if it is broken or does not fit
    `detect_edges`.
    """
    model.open("rb").close()  # Python says better than ONNX Runtime why a file cannot be read
    problem = None
    if CUDA in ort.get_available_providers():  # which means "built with", not "works"
        try:
            with native_stderr_muted():
                return _open_on(CUDA, model)
        except Exception as error:
            problem = _missing_library() or _in_short(error)
    try:
        session = _open_on(CPU, model)
    except Exception as error:
        raise ValueError(f"{model}: {_in_short(error)}") from error
    if problem:
        print(
            f"CUDA does not work here ({problem}): running on the CPU. On a machine with a GPU, "
            'set ACCELERATOR=nvidia; without one, see "No GPU?" in README.md.',
            file=sys.stderr,
        )
    return session


def detect_edges(session: ort.InferenceSession, image: np.ndarray) -> np.ndarray:
    """Return how strong the edge is at each pixel: float32 [height, width], 0 to 1.

    `image` is a picture as OpenCV reads it: uint8 [height, width, 3], BGR. Raises ValueError if it
    is anything else.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a uint8 [height, width, 3] is needed, not {image.dtype} {image.shape}")
    batch = np.float32(image.transpose(2, 0, 1)[np.newaxis]) / 255
    (edges,) = session.run(["edges"], {"image": batch})
    return edges[0, 0]


def overlay(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return `image` by night, its edges glowing: uint8 [height, width, 3], BGR.

    Takes the picture and the result of `detect_edges` for it.
    """
    lines = np.sqrt(np.maximum(edges - 0.02, 0))  # faint edges show as well, noise does not
    glow = cv2.GaussianBlur(lines, (0, 0), sigmaX=max(image.shape) / 200)
    light = np.dstack([0.9 * lines + glow, 0.7 * lines + 0.5 * glow, 0.3 * lines])
    return np.clip(0.25 * image + 255 * light, 0, 255).astype(np.uint8)


def _open_on(provider: str, model: Path) -> ort.InferenceSession:
    """Return a session that has run once on `provider`; raises whatever ONNX Runtime raises."""
    session = ort.InferenceSession(model, providers=[provider], enable_fallback=False)
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"{provider} could not be loaded")
    detect_edges(session, np.zeros((8, 8, 3), np.uint8))  # a GPU may fail here for the first time
    return session


def _missing_library() -> str | None:
    """Name what keeps CUDA from being loaded; ONNX Runtime tells that to its log alone."""
    provider = Path(ort.__file__).parent / "capi/libonnxruntime_providers_cuda.so"
    for problem, library in {
        "no NVIDIA driver": "libcuda.so.1",
        "CUDA or cuDNN is incomplete": str(provider),
    }.items():
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return f"{problem}: {str(error).removesuffix(': No such file or directory')}"
    return None


def _in_short(error: Exception) -> str:
    """Return the end of ONNX Runtime's long messages, after paths and C++ signatures."""
    text = re.split(r" : [A-Z_]+ : | failed:|&\) |void\] ", str(error))[-1]
    return " ".join(text.split(" ; ")[0].split())
