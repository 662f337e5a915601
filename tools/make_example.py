"""Make the files of the template's example: a small model and a picture.

    pip install numpy onnx opencv-python-headless
    python tools/make_example.py

Both are committed, so that a new project works offline. The result is reproducible: the same
versions of the three packages write the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PROJECT = Path(__file__).resolve().parents[1] / "{{checked(cookiecutter.project)}}"


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

Colour = tuple[int, int, int]  # red, green, blue

SUN, GLOW, GLINT = (255, 205, 92), (255, 236, 190), (246, 226, 192)
FUR, FUR_LIGHT, FUR_DARK, FUR_SHADE = (154, 106, 64), (186, 134, 84), (122, 80, 48), (92, 60, 40)
MEADOW, GRASS, BLADE, REED = (104, 146, 78), (86, 128, 66), (112, 156, 82), (76, 114, 58)


class Canvas:
    """A picture to draw on. Points are written as in SVG: "x,y x,y"; colours are RGB."""

    def __init__(self) -> None:
        self.pixels = np.zeros((HEIGHT * FINER, WIDTH * FINER, 3), np.uint8)

    def fade(self, top: int, bottom: int, above: Colour, below: Colour) -> None:
        """Fill the rows from `top` to `bottom` from one colour to the other."""
        rows = self.pixels[top * FINER : bottom * FINER]
        part = np.linspace(0, 1, len(rows))[:, np.newaxis]
        rows[:] = (np.array(above) * (1 - part) + np.array(below) * part)[:, np.newaxis]

    def polygon(self, colour: Colour, corners: str) -> None:
        """Fill the polygon with these corners."""
        cv2.fillPoly(self.pixels, [scaled(points(corners))], colour)

    def shape(self, colour: Colour, outline: str) -> None:
        """Fill the smooth outline that runs through these points."""
        cv2.fillPoly(self.pixels, [scaled(smooth(points(outline), closed=True))], colour)

    def line(self, colour: Colour, width: float, course: str) -> None:
        """Draw a smooth line through these points."""
        curve = scaled(smooth(points(course), closed=False))
        cv2.polylines(self.pixels, [curve], False, colour, round(width * FINER))

    def ellipse(self, colour: Colour, centre: str, axes: str, turn: float = 0) -> None:
        """Fill an ellipse with these half axes, turned clockwise by `turn` degrees."""
        middle, radii = scaled(points(centre))[0].tolist(), scaled(points(axes))[0].tolist()
        cv2.ellipse(self.pixels, middle, radii, turn, 0, 360, colour, cv2.FILLED)

    def finished(self) -> np.ndarray:
        """Return the picture at its final size, as BGR for OpenCV."""
        small = cv2.resize(self.pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_RGB2BGR)


def points(text: str) -> np.ndarray:
    return np.array([pair.split(",") for pair in text.split()], float)


def scaled(coordinates: np.ndarray) -> np.ndarray:
    return np.round(coordinates * FINER).astype(np.int32)


def smooth(p: np.ndarray, closed: bool) -> np.ndarray:
    """Return a Catmull-Rom curve through the points `p`."""
    before, after = (p[-1:], p[:2]) if closed else (p[:1], p[-1:])
    p = np.concatenate([before, p, after])
    t = np.linspace(0, 1, 24, endpoint=False)[:, np.newaxis]
    pieces = [
        b + t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d))) / 2
        for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True)
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
    canvas.ellipse(GLOW, "566,150", "62,62")
    canvas.ellipse(SUN, "566,150", "46,46")
    for x, y in points("250,62 290,82 218,92"):
        bird = f"{x - 13},{y - 5} {x - 6},{y - 7} {x},{y} {x + 6},{y - 7} {x + 13},{y - 5}"
        canvas.line((88, 110, 122), 2.2, bird)
    canvas.shape((150, 178, 170), "-40,300 -40,214 60,176 150,214 250,192 340,300")
    canvas.shape((124, 160, 150), "180,300 300,228 410,206 520,232 700,216 700,300")
    canvas.shape((100, 140, 124), "-40,300 -40,246 90,226 230,252 330,300")

    canvas.fade(262, 480, (236, 202, 160), (72, 132, 150))
    for i in range(13):  # the sun on the water, broken by the waves
        centre = f"{566 + 9 * (-1) ** i},{270 + 9 * i}"
        canvas.ellipse((255, 226, 150), centre, f"{40 - i * 1.6 - 9 * (i % 3)},2.4")
    for x, y in points("40,290 96,322 34,352 70,272 470,318 440,286 612,330 490,356 620,376"):
        canvas.ellipse(GLINT, f"{x},{y}", "42,1.5")

    canvas.shape(MEADOW, "-60,520 -60,396 60,378 200,384 360,380 470,396 540,430 600,520")
    canvas.shape(GRASS, "-60,520 -60,420 120,404 300,410 430,422 520,470 540,540")


def draw_body(canvas: Canvas) -> None:
    canvas.ellipse((62, 98, 52), "262,406", "170,13")  # its shadow
    # The legs of the far side, the body, the legs of the near side.
    canvas.shape(FUR_SHADE, "182,330 180,396 200,402 216,397 214,336")
    canvas.shape(FUR_SHADE, "318,330 322,396 344,402 356,396 362,330")
    canvas.shape(
        FUR,
        "106,300 112,254 142,212 200,186 270,184 330,182 372,160 420,170 432,230 "
        "418,276 400,320 370,352 300,366 210,366 146,360 114,336",
    )
    belly = "150,352 210,350 300,350 372,336 392,332 370,354 300,367 210,367 160,363"
    canvas.shape(FUR_DARK, belly)
    canvas.line(FUR_LIGHT, 5, "126,244 150,214 200,192 270,190 332,188 368,170")
    hind_leg = "110,318 126,296 170,300 182,340 164,372 162,402 120,404 128,372 116,346"
    canvas.shape(FUR, hind_leg)
    canvas.shape(FUR, "364,306 398,296 407,330 402,372 404,402 364,404 370,372")
    canvas.ellipse(FUR_DARK, "148,402", "24,7")
    canvas.ellipse(FUR_DARK, "392,402", "24,7")
    # Short hairs that lie back over the barrel of a body.
    for row, y in enumerate(range(222, 311, 22)):
        for x in range(150 + 11 * (row % 2), 372, 30):
            colour = FUR_LIGHT if row < 2 else FUR_DARK
            canvas.line(colour, 1.8, f"{x},{y + 3} {x + 12},{y}")


def draw_head(canvas: Canvas) -> None:
    canvas.ellipse(FUR_DARK, "392,146", "12,16", turn=-20)  # the far ear
    canvas.shape(
        FUR,
        "366,176 384,150 420,140 462,148 498,160 514,172 520,198 516,224 498,242 "
        "460,252 420,262 388,262 366,226",
    )
    canvas.ellipse(FUR_DARK, "384,152", "14,18", turn=-25)  # the near ear
    canvas.ellipse((196, 140, 112), "386,155", "8,11", turn=-25)
    canvas.ellipse((190, 122, 84), "434,218", "22,13")  # a cheek
    canvas.shape(FUR_DARK, "486,160 514,168 522,196 517,222 500,236 488,214 482,184")
    canvas.ellipse((64, 42, 30), "506,178", "3.4,5", turn=20)  # a nostril
    canvas.line(FUR_SHADE, 3, "518,212 506,226 486,230 468,222 464,215")
    canvas.ellipse(FUR_LIGHT, "444,182", "11,10")  # an eye
    canvas.ellipse((48, 32, 26), "445,183", "8.5,8.5")
    canvas.ellipse((255, 250, 240), "448,180", "2.8,2.8")
    canvas.line(FUR_SHADE, 2.6, "432,182 438,174 446,172 454,175")
    canvas.ellipse((244, 180, 52), "426,122", "23,20")  # the yuzu
    canvas.ellipse((255, 214, 112), "419,115", "8,6", turn=-30)
    canvas.shape((86, 138, 62), "428,103 438,90 458,88 448,101")
    canvas.line((92, 74, 44), 3, "427,105 428,98")


def draw_foreground(canvas: Canvas) -> None:
    for x, y in points("558,262 596,292 612,250 20,300 60,268"):  # reeds that lean to the right
        lean = x / 60
        canvas.line(REED, 3.4, f"{x - lean},490 {x - lean},390 {x},{y}")
        canvas.ellipse((116, 76, 46), f"{x},{y + 4}", "6,22", turn=lean / 2)
    for x, lean in points("12,-28 44,24 76,40 536,-40 566,24 596,-24 624,28 560,60"):
        canvas.polygon(REED, f"{x - 7},490 {x + lean},{372 + abs(lean) / 2} {x + 7},490")
    for x in range(96, 520, 38):  # tufts
        y = 446 + 14 * (x % 3)
        for lean in (-9, 0, 9):
            canvas.polygon(BLADE, f"{x - 3},{y} {x + lean},{y - 22} {x + 3},{y}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    model, picture = (next(PROJECT.glob(pattern)) for pattern in ("models/*edges.onnx*", "*example.png*"))
    model.parent.mkdir(exist_ok=True)
    onnx.save(edge_model(), model)
    picture.write_bytes(cv2.imencode(".png", capybara(), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    for file in (model, picture):
        print(f"{file.relative_to(PROJECT)}: {file.stat().st_size} bytes")
