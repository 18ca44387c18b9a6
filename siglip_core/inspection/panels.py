"""Draws an inspection's maps as images with titles and notes, for both the page and the picture."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from siglip_core.inspection.measure import Inspection

# Ten even steps of matplotlib's colour maps: equal steps look equal, also in grey and to colour-blind people.
INFERNO = ("000004", "1b0c42", "4b0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9a06", "f7d03c", "fcffa4")
VIRIDIS = ("440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6dcd59", "b4de2c", "fde725")

PANEL, HEAD = 480, 240  # length of the longer side, in pixels
_MAPS = 8  # position maps along a side: more would be too small to read
_OVERLAY = 0.7  # weight of the colour; the rest is the image in grey


@dataclass(frozen=True)
class Scale:
    """The meaning of a panel's colours: the first is `low`, the last is `high`."""

    colours: tuple[str, ...]
    low: float
    high: float

    @property
    def ends(self) -> tuple[str, str]:
        return f"{self.low:.3g}", f"{self.high:.3g}"


@dataclass(frozen=True)
class Panel:
    title: str
    note: str
    image: Image.Image
    scale: Scale | None = None


def panels(inspection: Inspection) -> tuple[Panel, ...]:
    """The input, the mean attention of the heads, and the positions; each at most PANEL pixels wide and high."""
    heads, patches = inspection.attention.shape
    mean_L = inspection.attention.mean(axis=0)
    spread = f"mean of {heads} heads; uniform attention would be {1 / patches:.3g}"
    scale = Scale(INFERNO, 0, float(mean_L.max()))
    return (
        Panel("Input", _input_note(inspection), _input(inspection)),
        Panel("Attention of the MAP head", spread, _attention(inspection, mean_L, PANEL), scale),
        _positions(inspection),
    )


def heads(inspection: Inspection) -> tuple[Panel, ...]:
    """One overlay per head, each with its own scale; the longer side is HEAD pixels."""
    return tuple(
        Panel(f"Head {number}", f"at most {weights_L.max():.3g}", _attention(inspection, weights_L, HEAD))
        for number, weights_L in enumerate(inspection.attention, 1)
    )


def colourise(values: NDArray[np.floating], scale: Scale) -> NDArray[np.uint8]:
    """[H, W] -> RGB uint8 [H, W, 3]; values outside the scale get the colour of its nearer end."""
    high = scale.high if scale.high > scale.low else scale.low + 1  # equal, for example, with a single position
    stops = np.linspace(scale.low, high, len(scale.colours))
    palette = np.array([list(bytes.fromhex(colour)) for colour in scale.colours])
    channels = [np.interp(values, stops, palette[:, channel]) for channel in range(3)]
    rgb: NDArray[np.uint8] = np.stack(channels, axis=-1).round().astype(np.uint8)
    return rgb


def _input_note(inspection: Inspection) -> str:
    height, width, _ = inspection.pixels.shape
    patch = inspection.patch_size
    unseen = max(height - inspection.rows * patch, width - inspection.columns * patch)
    note = f"{width} x {height} px, {inspection.columns} x {inspection.rows} patches of {patch} px"
    return f"{note}; the last {unseen} px are not seen" if unseen else note


def _input(inspection: Inspection) -> Image.Image:
    """The pixels with the borders of the patches; pixels that no patch covers are darkened."""
    patch, rows, columns = inspection.patch_size, inspection.rows, inspection.columns
    pixels = inspection.pixels // 3
    pixels[: rows * patch, : columns * patch] = inspection.pixels[: rows * patch, : columns * patch]
    image = _fit(Image.fromarray(pixels), PANEL)
    step = patch * PANEL / max(pixels.shape)
    draw = ImageDraw.Draw(image, "RGBA")  # RGBA mode blends the lines with the image
    for x in (round(column * step) for column in range(1, columns)):
        draw.line([(x, 0), (x, round(rows * step) - 1)], (255, 255, 255, 120))
    for y in (round(row * step) for row in range(1, rows)):
        draw.line([(0, y), (round(columns * step) - 1, y)], (255, 255, 255, 120))
    return image


def _attention(inspection: Inspection, weights_L: NDArray[np.float32], edge: int) -> Image.Image:
    """The weights, coloured from 0 to their own maximum, over the image in grey."""
    grey = np.asarray(Image.fromarray(inspection.pixels).convert("L"), np.float32)[..., None]
    overlay = np.repeat(grey * (1 - _OVERLAY), 3, axis=-1)
    map_ = colourise(weights_L.reshape(inspection.rows, inspection.columns), Scale(INFERNO, 0, float(weights_L.max())))
    map_ = map_.repeat(inspection.patch_size, axis=0).repeat(inspection.patch_size, axis=1)
    overlay[: map_.shape[0], : map_.shape[1]] += _OVERLAY * map_
    return _fit(Image.fromarray(overlay.round().astype(np.uint8)), edge)


def _positions(inspection: Inspection) -> Panel:
    """As ViT, arXiv 2010.11929, figure 7: a map of the cosines of each position, placed at that position."""
    rows, columns = _some(inspection.rows), _some(inspection.columns)
    cosine_CL = inspection.position_cosine[(rows[:, None] * inspection.columns + columns).ravel()]
    scale = Scale(VIRIDIS, float(cosine_CL.min()), 1.0)
    gap = 4
    edge = (PANEL + gap) // max(len(rows), len(columns)) - gap
    maps = cosine_CL.reshape(-1, inspection.rows, inspection.columns)
    tiles = [_fit(Image.fromarray(colourise(map_, scale)), edge) for map_ in maps]
    width, height = tiles[0].width + gap, tiles[0].height + gap
    mosaic = Image.new("RGB", (len(columns) * width - gap, len(rows) * height - gap), "white")
    for index, tile in enumerate(tiles):
        row, column = divmod(index, len(columns))
        mosaic.paste(tile, (column * width, row * height))
    note = f"cosines with all others, for {len(columns)} x {len(rows)} of {inspection.columns} x {inspection.rows}"
    return Panel("Position embeddings", note, mosaic, scale)


def _some(count: int) -> NDArray[np.int64]:
    """At most _MAPS of `count` indices, evenly spaced, including the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, _MAPS)).round().astype(np.int64))


def _fit(image: Image.Image, edge: int) -> Image.Image:
    """Resizes to a longer side of `edge` and keeps the aspect ratio. Enlarged pixels stay sharp squares."""
    scale = edge / max(image.size)
    whole = math.ceil(scale)
    enlarged = image.resize((image.width * whole, image.height * whole), Image.Resampling.NEAREST)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return enlarged.resize(size, Image.Resampling.BOX)
