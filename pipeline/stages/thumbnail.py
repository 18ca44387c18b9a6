"""Small JPEGs of images, as `siglane embed --thumbnail-px` stores them and pages show them.

A thumbnail is made from the picture that the preprocessing sees: upright, in RGB, on white.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from siglip_core.images import Picture
from siglip_core.resize import resize_to

SMALLEST, LARGEST = 32, 512
"""pixels of the longest side of thumbnails that a table can store"""
QUALITY = 80
"""of the JPEG"""


def thumbnail(picture: Picture, px: int) -> bytes:
    """A JPEG of the picture whose longest side has `px` pixels; of a smaller picture, one of its own size."""
    # `fast` decodes large JPEGs to less, which is still more than any thumbnail of the published models needs
    longest = min(max(picture.stored.shape), max(picture.height, picture.width))
    if longest <= px:
        return to_jpeg(picture.upright)
    shrinks = px / max(picture.height, picture.width)
    rows, columns = (max(1, round(side * shrinks)) for side in (picture.height, picture.width))
    return to_jpeg(resize_to(picture, rows, columns, "bilinear"))


def to_jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Pixels uint8 [H, W, 3] as a JPEG."""
    jpeg = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(jpeg, "JPEG", quality=QUALITY)
    return jpeg.getvalue()
