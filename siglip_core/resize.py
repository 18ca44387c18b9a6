"""Resizes images as the published image processors do, which is as Pillow does: within one grey level.

Pillow takes two thirds of the time of decoding and resizing. torch's kernel takes a tenth of that.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siglip_core.images.picture import Picture, Pixels
from siglip_core.libtorch import Kernel, interpolate
from siglip_core.variants import Preprocessing


def resize(picture: Picture, preprocessing: Preprocessing) -> Pixels:
    """A picture -> uint8 [H, W, 3], upright: a square of the model's resolution; for NaFlex, multiples of its patches.

    Each value is within one grey level of what Pillow gives.
    """
    if preprocessing.name == "bv-bilinear-noaa":
        return bilinear_without_antialias(picture.upright, preprocessing.resolution)
    rows, columns = target(picture.height, picture.width, preprocessing)
    return resize_to(picture, rows, columns, "bicubic" if preprocessing.name == "hf-bicubic-aa" else "bilinear")


def resize_to(picture: Picture, rows: int, columns: int, kernel: Kernel) -> Pixels:
    """A picture -> uint8 [rows, columns, 3], upright; antialiased."""
    height, width = picture.height * picture.scale, picture.width * picture.scale
    # What is upright Pillow resizes to fewer columns first; where it takes off more than twice as many rows, to fewer
    # rows first. The order counts, as the values between are rounded and cut off too.
    rows_first = height > rows and height - rows > 2 * (width - columns)
    if picture.is_sideways:
        resized = _in_two_passes(picture.stored, (width, height), (columns, rows), kernel, not rows_first)
    else:
        resized = _in_two_passes(picture.stored, (height, width), (rows, columns), kernel, rows_first)
    return np.ascontiguousarray(picture.turned(resized))


def target(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Height and width to which an upright original of this height and width is resized."""
    if preprocessing.name != "naflex-bilinear-aa":
        return preprocessing.resolution, preprocessing.resolution
    assert preprocessing.patch_size is not None
    assert preprocessing.max_patches is not None
    return naflex_size(height, width, preprocessing.patch_size, preprocessing.max_patches)


_FIRST_PASS_BY_TORCH: dict[Kernel, float] = {"bicubic": 2.0, "bilinear": 1.25}
"""How much both passes have to shrink for it.

torch's weights have 16 bits, Pillow's 22. So a value in a hundred is one grey level off after the first pass, and two
such values can make the result two levels off. If the passes shrink more, fewer are off and more are mixed.
"""


def _in_two_passes(
    pixels: Pixels, extent: tuple[float, float], size: tuple[int, int], kernel: Kernel, rows_first: bool
) -> Pixels:
    """The first pass resizes the rows or the columns, the second the others."""
    rows, columns = size
    between = (rows, pixels.shape[1]) if rows_first else (pixels.shape[0], columns)
    if pixels.shape[:2] != between:
        shrinks = min(extent[0] / rows, extent[1] / columns)
        if shrinks >= _FIRST_PASS_BY_TORCH[kernel] or between == size:
            pixels = interpolate(pixels, between, kernel, extent)
        else:
            pixels = _by_pillow(pixels, between, kernel)
    return pixels if between == size else interpolate(pixels, size, kernel, extent)


def _by_pillow(pixels: Pixels, size: tuple[int, int], kernel: Kernel) -> Pixels:
    resample = Image.Resampling.BICUBIC if kernel == "bicubic" else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], resample))


def naflex_size(height: int, width: int, patch: int, max_patches: int) -> tuple[int, int]:
    """Height and width of the largest image of nearly this aspect ratio that has at most `max_patches` patches.

    Both are multiples of `patch`. The scale is found by bisection; each side is rounded up to at least one complete
    patch. Bounds and tolerance (1e-5) are those of big_vision's `resize_to_sequence` and transformers'
    `get_image_size_for_max_num_patches`.
    """

    def at(scale: float) -> tuple[int, int]:
        rows = max(1, math.ceil(height * scale / patch))
        columns = max(1, math.ceil(width * scale / patch))
        return rows * patch, columns * patch

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        middle = (low + high) / 2
        rows, columns = at(middle)
        if rows * columns <= max_patches * patch**2:
            low = middle
        else:
            high = middle
    return at(low)


def bilinear_without_antialias(image: Pixels, size: int) -> Pixels:
    """uint8 [H, W, 3] -> [size, size, 3] as TensorFlow's resize computes it for big_vision; fractions are cut off.

    Each output pixel mixes the four nearest input pixels at any scale. A much smaller copy therefore skips most of the
    image, and differs strongly from an antialiased one.
    """
    top, bottom, down = _neighbours(image.shape[0], size)
    left, right, across = _neighbours(image.shape[1], size)
    mixed = [_mixed(image[rows], left, right, across) for rows in (top, bottom)]
    return (mixed[0] + (mixed[1] - mixed[0]) * down[:, None, None]).astype(np.uint8)


def _mixed(
    rows: Pixels, left: NDArray[np.intp], right: NDArray[np.intp], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    first, second = rows[:, left].astype(np.float32), rows[:, right].astype(np.float32)
    mixed: NDArray[np.float32] = first + (second - first) * across[:, None]
    return mixed


def _neighbours(length: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `size` output pixels: the input pixels before and after its centre, and the weight of the second."""
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(length / size) - np.float32(0.5)
    before = np.floor(centre)
    weight: NDArray[np.float32] = centre - before
    last = length - 1
    return np.clip(before, 0, last).astype(np.intp), np.clip(np.ceil(centre), 0, last).astype(np.intp), weight
