"""The example's tests, read as sentences; yours go beside them."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from {{ cookiecutter.__package }} import edges

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def session():
    return edges.open_session(PROJECT / "models/edges.onnx")


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed=1).integers(0, 256, (height, width, 3), np.uint8)


def run_script(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, PROJECT / "script.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_model_agrees_with_sobel_of_opencv(session):
    image = cv2.imread(str(PROJECT / "example.png"))

    found = edges.detect_edges(session, image)

    grey = cv2.cvtColor(np.float32(image) / 255, cv2.COLOR_BGR2GRAY)
    border = {"scale": 1 / 4, "borderType": cv2.BORDER_REPLICATE}
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, **border)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, **border)
    expected = np.minimum(np.hypot(across, down), 1)
    # A GPU may multiply in TF32, which keeps three decimal places.
    np.testing.assert_allclose(found, expected, atol=5e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (33, 57), (480, 640)])
def test_every_pixel_gets_a_value_from_0_to_1(session, height, width):
    found = edges.detect_edges(session, picture(height, width))

    assert found.shape == (height, width)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


def test_a_grey_picture_is_refused_with_its_shape(session):
    with pytest.raises(ValueError, match=r"uint8 \(4, 5\)"):
        edges.detect_edges(session, np.zeros((4, 5), np.uint8))


def test_the_script_writes_a_picture_and_names_its_provider(tmp_path):
    output = tmp_path / "new folder" / "edges.png"

    result = run_script("--output", output)

    assert result.returncode == 0, result.stderr
    assert "ExecutionProvider" in result.stdout
    assert cv2.imread(str(output)).shape == (480, 640, 3)


def test_a_missing_picture_is_told_in_one_line():
    result = run_script("no-such.png")

    assert result.returncode == 1
    assert result.stderr == "script.py: no-such.png: No such file or directory\n"
