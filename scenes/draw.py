"""Draws a picture from its coordinates: with Pillow at four times the size, then averaged down."""

from functools import cache
from io import BytesIO
from math import cos, pi, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scenes.palette import BACKGROUNDS, COLOURS, RGB
from scenes.place import Picture, Placed

_OVERSAMPLE = 4
_SHADE = 10  # how much lighter or darker a colour can become, in levels of 0..255
_JPEG_QUALITY = 92

Outline = tuple[tuple[float, float], ...]


def pixels(picture: Picture, size: int) -> NDArray[np.uint8]:
    """The picture as uint8 [size, size, 3]."""
    return np.asarray(render(picture, size))


def jpeg(picture: Picture, size: int) -> bytes:
    """The picture as a JPEG file of size x size pixels, with colours at full resolution."""
    buffer = BytesIO()
    render(picture, size).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def render(picture: Picture, size: int) -> Image.Image:
    """The picture as an RGB image of size x size pixels."""
    canvas = _background(picture.scene.background, size * _OVERSAMPLE).copy()
    pen = ImageDraw.Draw(canvas)
    for placed in picture.placed:
        _draw(pen, placed, size * _OVERSAMPLE)
    return canvas.reduce(_OVERSAMPLE)


def _draw(pen: ImageDraw.ImageDraw, placed: Placed, side: int) -> None:
    fill = _shaded(COLOURS[placed.thing.colour], placed.shade)
    x, y, radius = placed.x * side, placed.y * side, placed.radius * side
    if placed.thing.shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    elif placed.thing.shape == "ring":
        outer = 1.12 * radius
        pen.ellipse((x - outer, y - outer, x + outer, y + outer), outline=fill, width=round(0.42 * radius))
    else:
        c, s = radius * cos(radians(placed.turn)), radius * sin(radians(placed.turn))
        outline = _OUTLINES[placed.thing.shape]
        pen.polygon([(x + c * u - s * v, y + s * u + c * v) for u, v in outline], fill=fill)


def _shaded(colour: RGB, shade: float) -> RGB:
    red, green, blue = (min(max(round(level + _SHADE * shade), 0), 255) for level in colour)
    return red, green, blue


@cache
def _background(name: str, side: int) -> Image.Image:
    ground, *figure = BACKGROUNDS[name]
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    eighth = side / 8
    for row in range(8):
        top = row * eighth
        if name == "striped":
            pen.rectangle((0, top, side, top + eighth / 2 - 1), fill=figure[0])
            continue
        for left in (column * eighth for column in range(8)):
            if name == "checkered" and (round(left / eighth) + row) % 2:
                pen.rectangle((left, top, left + eighth - 1, top + eighth - 1), fill=figure[0])
            elif name == "dotted":
                inset = 0.28 * eighth
                pen.ellipse((left + inset, top + inset, left + eighth - inset, top + eighth - inset), fill=figure[0])
    return image


def _star() -> Outline:
    points = [(1.42 if i % 2 == 0 else 0.6, i * pi / 5) for i in range(10)]
    return tuple((r * sin(angle), -r * cos(angle)) for r, angle in points)


def _heart() -> Outline:
    angles = [i * pi / 20 for i in range(40)]
    curve = [(16 * sin(a) ** 3, 13 * cos(a) - 5 * cos(2 * a) - 2 * cos(3 * a) - cos(4 * a)) for a in angles]
    return tuple((x / 14, -(y + 2.5) / 14) for x, y in curve)


def _cross() -> Outline:
    long, short = 1.2, 0.4
    quarter = [(short, -long), (short, -short), (long, -short)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return tuple(corners)


def _crescent() -> Outline:
    """The area between two arcs that meet at the tips; the inner arc is flatter. It opens to the right."""
    tip, inner_centre = radians(50), 0.62
    outer = [(cos(a), sin(a)) for a in (tip + i * (2 * pi - 2 * tip) / 24 for i in range(25))]
    start = (cos(tip) - inner_centre, sin(tip))
    inner_radius = (start[0] ** 2 + start[1] ** 2) ** 0.5
    half = pi - _angle(start)
    inner = [
        (inner_centre + inner_radius * cos(a), inner_radius * sin(a))
        for a in (pi + half - i * 2 * half / 24 for i in range(25))
    ]
    return tuple((1.22 * x + 0.12, 1.22 * y) for x, y in outer + inner)


def _angle(point: tuple[float, float]) -> float:
    return float(np.arctan2(point[1], point[0]))


_OUTLINES: dict[str, Outline] = {
    "square": ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    "triangle": ((0.0, -1.32), (1.2, 0.82), (-1.2, 0.82)),
    "star": _star(),
    "heart": _heart(),
    "cross": _cross(),
    "crescent": _crescent(),
}
