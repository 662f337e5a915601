"""Draw the edges of a picture: python script.py [IMAGE] [--model PATH] [--output PATH]"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from {{ cookiecutter.__package }} import edges
from {{ cookiecutter.__package }}.errors import UserError, in_one_line

HERE = Path(__file__).resolve().parent
RUNS = 10
FULL_HD = 1920, 1080


def main() -> None:
    args = parse_arguments()
    output = args.output or HERE / "outputs" / f"{args.image.stem}-edges.png"
    with in_one_line("script.py"):
        image = read_picture(args.image)
        session = edges.open_session(args.model)
        result, milliseconds = measure(lambda: edges.detect_edges(session, image))
        write_picture(output, edges.overlay(image, result))
        speed = compare(args.model, session.get_providers()[0], image)

    first, *others = milliseconds
    height, width = image.shape[:2]
    print(f"provider  {session.get_providers()[0]}")
    print(f"time      {first:.1f} ms at first, then {statistics.median(others):.1f} ms")
    print(f"speed     {speed}")
    print(f"picture   {short(output)}, {width} x {height}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw the edges of a picture.")
    parser.add_argument(
        "image", metavar="IMAGE", nargs="?", type=Path, help="picture (default: example.png)"
    )
    parser.add_argument(
        "--model", metavar="PATH", type=Path, help="ONNX model (default: models/edges.onnx)"
    )
    parser.add_argument(
        "--output", metavar="PATH", type=Path, help="result (default: outputs/IMAGE-edges.png)"
    )
    # Relative to this file, so that the script works from any folder.
    parser.set_defaults(image=HERE / "example.png", model=HERE / "models/edges.onnx")
    return parser.parse_args()


def read_picture(path: Path) -> np.ndarray:
    """Return any picture as uint8 [height, width, 3], BGR. Raises OSError or UserError."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = None
    # libpng and others print their own lines; no data and more than 2^30 pixels are a cv2.error
    with edges.native_stderr_muted(), contextlib.suppress(cv2.error):
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{path} is not a picture that OpenCV can read")
    return image


def measure(run: Callable[[], np.ndarray]) -> tuple[np.ndarray, list[float]]:
    """Call `run` several times; return its result, and the milliseconds of each call."""
    milliseconds = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        result = run()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return result, milliseconds


def compare(model: Path, provider: str, image: np.ndarray) -> str:
    """Return how long a large picture takes on the CPU, and on the GPU if `provider` is one."""
    large = cv2.resize(image, FULL_HD)
    on_cpu = edges.milliseconds(model, edges.CPU, large)
    text = "{} x {}: CPU {:.2f} ms".format(*FULL_HD, on_cpu)
    if provider == edges.CPU:
        return text
    on_gpu = edges.milliseconds(model, provider, large)
    return f"{text}, GPU {on_gpu:.2f} ms, {on_cpu / on_gpu:.1f} times as fast"


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write `image` in the format of the suffix. Raises OSError or UserError."""
    # cv2.imwrite would return False without a reason.
    try:
        _, data = cv2.imencode(path.suffix, image)
    except cv2.error:
        raise UserError(f"{path}: OpenCV cannot write this format, try .png") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(data)
    except OSError as error:  # for a full disk, filename is None
        raise OSError(error.errno, error.strerror, str(path)) from error


def short(path: Path) -> Path:
    """Return `path` relative to the current folder if it is inside it."""
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT
