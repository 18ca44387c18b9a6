"""Resizes images as the published image processors do. Needs no torch."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siglip_core.variants import Preprocessing

Pixels = NDArray[np.uint8]


def resize(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """RGB image -> uint8 [H, W, 3]: a square of the model's resolution; for NaFlex, multiples of the patch size."""
    square = (preprocessing.resolution, preprocessing.resolution)
    match preprocessing.name:
        case "hf-bicubic-aa":
            return _as_array(image.resize(square, Image.Resampling.BICUBIC))
        case "hf-bilinear-aa":
            return _as_array(image.resize(square, Image.Resampling.BILINEAR))
        case "bv-bilinear-noaa":
            return bilinear_without_antialias(_as_array(image), preprocessing.resolution)
        case "naflex-bilinear-aa":
            assert preprocessing.patch_size is not None
            assert preprocessing.max_patches is not None
            size = naflex_size(image.height, image.width, preprocessing.patch_size, preprocessing.max_patches)
            return _as_array(image.resize(size[::-1], Image.Resampling.BILINEAR))


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
    rows = image[top].astype(np.float32), image[bottom].astype(np.float32)
    mixed = [row[:, left] + (row[:, right] - row[:, left]) * across[:, None] for row in rows]
    return (mixed[0] + (mixed[1] - mixed[0]) * down[:, None, None]).astype(np.uint8)


def _neighbours(length: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of `size` output pixels: the input pixels before and after its centre, and the weight of the second."""
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(length / size) - np.float32(0.5)
    before = np.floor(centre)
    weight: NDArray[np.float32] = centre - before
    last = length - 1
    return np.clip(before, 0, last).astype(np.intp), np.clip(np.ceil(centre), 0, last).astype(np.intp), weight


def _as_array(image: Image.Image) -> Pixels:
    """A copy, as Pillow's buffer is read-only and torch needs a writable one."""
    return np.array(image, dtype=np.uint8)
