"""Make what the template's example needs: a small model and a picture to try it on.

    pip install numpy onnx opencv-python-headless
    python tools/make_example.py

Both are committed, so that a new project works offline at once. Nothing here is random: the same
versions of the three packages write the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PROJECT = Path(__file__).resolve().parents[1] / "{{cookiecutter.project}}"


# ------------------------------------------------------------------------------------ the model


def edge_model() -> onnx.ModelProto:
    """Return a network with fixed weights that finds edges as cv2.Sobel does.

    Opset 17 and IR 8 are old on purpose: every ONNX Runtime from 1.17 on can read them.
    """
    # The same weights as in cv2.COLOR_BGR2GRAY.
    luminance = np.float32([0.114, 0.587, 0.299]).reshape(1, 3, 1, 1)
    # A quarter of Sobel's kernel: a step from black to white then gives 1.
    across = np.float32([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    sobel = np.stack([across, across.T])[:, np.newaxis]
    weights = {
        "luminance_weights": luminance,
        "sobel_weights": sobel,
        "one_pixel": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        "black": np.float32(0),
        "white": np.float32(1),
    }
    nodes = [
        helper.make_node("Conv", ["image", "luminance_weights"], ["luminance"], "luminance"),
        # "edge" repeats the border, as cv2.BORDER_REPLICATE: right down to a picture of one pixel.
        helper.make_node("Pad", ["luminance", "one_pixel"], ["padded"], "pad", mode="edge"),
        helper.make_node("Conv", ["padded", "sobel_weights"], ["gradient"], "sobel"),
        helper.make_node("ReduceL2", ["gradient"], ["magnitude"], "magnitude", axes=[1]),
        helper.make_node("Clip", ["magnitude", "black", "white"], ["edges"], "clip"),
    ]
    graph = helper.make_graph(
        nodes,
        "edges",
        [tensor("image", 3, "a picture: BGR, as OpenCV reads it, from 0 to 1")],
        [tensor("edges", 1, "the strength of the edge at each pixel, from 0 to 1")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
        doc_string="Luminance, Sobel's two gradients, their magnitude.",
    )
    model = helper.make_model(
        graph,
        producer_name="capy-template",
        doc_string="Finds the edges of a picture of any size; the weights are fixed, not learnt.",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def tensor(name: str, channels: int, doc: str) -> onnx.ValueInfoProto:
    """Return the description of a float32 picture of any size."""
    shape = [1, channels, "height", "width"]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape, doc)


# ---------------------------------------------------------------------------------- the picture

WIDTH, HEIGHT = 640, 480
FINER = 4  # drawn four times as large and then scaled down, which smooths every outline

Point = tuple[float, float]
Colour = tuple[int, int, int]  # red, green, blue


class Canvas:
    """A picture to draw on, in its final coordinates and in RGB."""

    def __init__(self) -> None:
        self.pixels = np.zeros((HEIGHT * FINER, WIDTH * FINER, 3), np.uint8)

    def fade(self, top: float, bottom: float, above: Colour, below: Colour) -> None:
        """Fill the rows from `top` to `bottom` from one colour to the other."""
        rows = self.pixels[round(top * FINER) : round(bottom * FINER)]
        # Few bands, each a multiple of FINER high: flat colours keep the file small.
        steps = np.linspace(0, 1, len(rows) // (FINER * 6) + 1)
        part = np.repeat(steps, FINER * 6)[: len(rows), np.newaxis]
        rows[:] = (np.array(above) * (1 - part) + np.array(below) * part)[:, np.newaxis]

    def polygon(self, points: list[Point] | np.ndarray, colour: Colour) -> None:
        scaled = np.round(np.asarray(points) * FINER).astype(np.int32)
        cv2.fillPoly(self.pixels, [scaled], colour)

    def shape(self, points: list[Point], colour: Colour) -> None:
        """Fill the smooth outline that runs through `points`."""
        self.polygon(smooth(points, closed=True), colour)

    def line(self, points: list[Point], colour: Colour, width: float) -> None:
        """Draw a smooth line through `points`."""
        scaled = np.round(smooth(points, closed=False) * FINER).astype(np.int32)
        cv2.polylines(self.pixels, [scaled], False, colour, round(width * FINER))

    def ellipse(
        self, x: float, y: float, a: float, b: float, colour: Colour, turn: float = 0
    ) -> None:
        """Fill an ellipse around x, y with the half axes a, b, turned clockwise by degrees."""
        centre, axes = (round(x * FINER), round(y * FINER)), (round(a * FINER), round(b * FINER))
        cv2.ellipse(self.pixels, centre, axes, turn, 0, 360, colour, cv2.FILLED)

    def finished(self) -> np.ndarray:
        """Return the picture at its final size, as BGR for OpenCV."""
        small = cv2.resize(self.pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_RGB2BGR)


def smooth(points: list[Point], closed: bool) -> np.ndarray:
    """Return a Catmull-Rom curve through `points`."""
    p = np.asarray(points, float)
    before, after = (p[-1:], p[:2]) if closed else (p[:1], p[-1:])
    p = np.concatenate([before, p, after])
    t = np.linspace(0, 1, 24, endpoint=False)[:, np.newaxis]
    pieces = [
        b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d))) / 2
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, p[-2:-1]])


def capybara() -> np.ndarray:
    """Draw a capybara that watches the sun rise over a lake, a yuzu on its head. Returns BGR."""
    canvas = Canvas()
    draw_landscape(canvas)
    draw_body(canvas)
    draw_head(canvas)
    draw_foreground(canvas)
    return canvas.finished()


def draw_landscape(canvas: Canvas) -> None:
    canvas.fade(0, 270, (139, 190, 214), (255, 226, 178))
    canvas.ellipse(566, 150, 62, 62, (255, 236, 190))
    canvas.ellipse(566, 150, 46, 46, (255, 205, 92))
    canvas.shape(path("-40,300 -40,214 60,176 150,214 250,192 340,300"), (150, 178, 170))
    canvas.shape(path("180,300 300,228 410,206 520,232 700,216 700,300"), (124, 160, 150))
    canvas.shape(path("-40,300 -40,246 90,226 230,252 330,300"), (100, 140, 124))
    canvas.fade(262, 480, (236, 202, 160), (72, 132, 150))
    # The sun on the water, broken by the waves.
    for i in range(13):
        y = 270 + i * 9
        canvas.ellipse(566 + 9 * (-1) ** i, y, 40 - i * 1.6 - 9 * (i % 3), 2.4, (255, 226, 150))
    for x, y, a in [
        (40, 290, 38),
        (96, 322, 52),
        (34, 352, 34),
        (470, 318, 40),
        (440, 286, 30),
        (612, 330, 34),
        (490, 356, 46),
        (620, 376, 40),
        (420, 340, 26),
        (70, 272, 26),
    ]:
        canvas.ellipse(x, y, a, 1.5, (246, 226, 192))
    for x, y in path("250,62 290,82 218,92"):
        canvas.line(
            [(x - 13, y - 5), (x - 6, y - 7), (x, y), (x + 6, y - 7), (x + 13, y - 5)],
            (88, 110, 122),
            2.2,
        )
    canvas.shape(
        path("-60,520 -60,396 60,378 200,384 360,380 470,396 540,430 600,520"),
        (104, 146, 78),
    )
    canvas.shape(
        path("-60,520 -60,420 120,404 300,410 430,422 520,470 540,540"),
        (86, 128, 66),
    )


FUR, FUR_LIGHT = (154, 106, 64), (186, 134, 84)
FUR_DARK, FUR_SHADE = (122, 80, 48), (92, 60, 40)


def draw_body(canvas: Canvas) -> None:
    canvas.ellipse(262, 406, 170, 13, (62, 98, 52))  # its shadow
    # The legs of the far side, then the body, then the legs of the near side.
    canvas.shape(path("182,330 180,396 200,402 216,397 214,336"), FUR_SHADE)
    canvas.shape(path("318,330 322,396 344,402 356,396 362,330"), FUR_SHADE)
    canvas.shape(
        path(
            "106,300 112,254 142,212 200,186 270,184 330,182 372,160 420,170 432,230 418,276 400,320 370,352 300,366 210,366 146,360 114,336"
        ),
        FUR,
    )
    canvas.shape(
        path("150,352 210,350 300,350 372,336 392,332 370,354 300,367 210,367 160,363"),
        FUR_DARK,
    )
    canvas.line(path("126,244 150,214 200,192 270,190 332,188 368,170"), FUR_LIGHT, 5)
    canvas.shape(
        path("110,318 126,296 170,300 182,340 164,372 162,402 120,404 128,372 116,346"),
        FUR,
    )
    canvas.shape(path("364,306 398,296 407,330 402,372 404,402 364,404 370,372"), FUR)
    for x in (142, 386):
        canvas.ellipse(x + 6, 402, 24, 7, FUR_DARK)
    # Short hairs that lie back over the barrel of a body.
    for row, y in enumerate((222, 244, 266, 288, 310)):
        for x in range(150 + 11 * (row % 2), 372, 30):
            canvas.line([(x, y + 3), (x + 12, y)], FUR_LIGHT if row < 2 else FUR_DARK, 1.8)


def draw_head(canvas: Canvas) -> None:
    canvas.ellipse(392, 146, 12, 16, FUR_DARK, turn=-20)  # the far ear
    canvas.shape(
        path(
            "366,176 384,150 420,140 462,148 498,160 514,172 520,198 516,224 498,242 460,252 420,262 388,262 366,226"
        ),
        FUR,
    )
    canvas.shape(
        path("486,160 514,168 522,196 517,222 500,236 488,214 482,184"),
        FUR_DARK,
    )
    canvas.ellipse(506, 178, 3.4, 5, (64, 42, 30), turn=20)  # a nostril
    canvas.line(path("518,212 506,226 486,230 468,222 464,215"), FUR_SHADE, 3)
    canvas.ellipse(434, 218, 22, 13, (190, 122, 84))  # a cheek
    canvas.ellipse(444, 182, 11, 10, FUR_LIGHT)
    canvas.ellipse(445, 183, 8.5, 8.5, (48, 32, 26))
    canvas.ellipse(448, 180, 2.8, 2.8, (255, 250, 240))
    canvas.line(path("432,182 438,174 446,172 454,175"), FUR_SHADE, 2.6)  # its lid
    canvas.ellipse(384, 152, 14, 18, FUR_DARK, turn=-25)
    canvas.ellipse(386, 155, 8, 11, (196, 140, 112), turn=-25)
    # the yuzu
    canvas.ellipse(426, 122, 23, 20, (244, 180, 52))
    canvas.ellipse(419, 115, 8, 6, (255, 214, 112), turn=-30)
    canvas.shape(path("428,103 438,90 458,88 448,101"), (86, 138, 62))
    canvas.line(path("427,105 428,98"), (92, 74, 44), 3)


def draw_foreground(canvas: Canvas) -> None:
    for x, top, lean in [
        (548, 262, 10),
        (580, 292, 16),
        (606, 250, 6),
        (28, 300, -8),
        (56, 268, 4),
    ]:
        canvas.line([(x, 490), (x + lean / 3, 390), (x + lean, top)], (78, 112, 58), 3.4)
        canvas.ellipse(x + lean, top + 4, 6, 22, (116, 76, 46), turn=lean / 2)
    for x, lean in path("12,-14 44,12 76,20 536,-20 566,12 596,-12 624,14 560,30"):
        canvas.polygon([(x - 7, 490), (x + lean * 2, 372 + abs(lean)), (x + 7, 490)], (70, 116, 58))
    for x in range(96, 520, 38):
        base = 446 + 14 * (x % 3)
        for lean in (-9, 0, 9):
            canvas.polygon([(x - 3, base), (x + lean, base - 22), (x + 3, base)], (112, 156, 82))


if __name__ == "__main__":
    model, picture = PROJECT / "models/edges.onnx", PROJECT / "example.png"
    model.parent.mkdir(exist_ok=True)
    onnx.save(edge_model(), model)
    picture.write_bytes(cv2.imencode(".png", capybara(), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    for file in (model, picture):
        print(f"{file.relative_to(PROJECT)}: {file.stat().st_size} bytes")
