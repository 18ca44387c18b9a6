"""JPEG by a second decoder, simplejpeg: it skips a copy and a conversion of Pillow, and can decode to a smaller size.

Pillow reads the header first, and refuses what it refuses. simplejpeg then decodes the common kinds, grey and colour of
8 bits, with the same library and the same settings as Pillow: the pixels are equal. Whatever it doubts is left to
Pillow, which decides: CMYK, truncated and damaged files.
"""

from collections.abc import Callable
from typing import Final

import simplejpeg
from PIL import Image

from siglip_core.images.colours import turn
from siglip_core.images.picture import Picture, lies_sideways

FORMATS: Final = ("JPEG", "MPO")
"""as Pillow names them; an MPO begins with a JPEG, which is its first picture"""

Enough = Callable[[int, int], tuple[int, int]]
"""height and width of an upright original -> the least height and width to which it may be decoded"""


def decoded(image: Image.Image, data: bytes, enough: Enough | None) -> Picture | None:
    """The picture of these bytes, of which Pillow has read the header as `image`; None if Pillow has to decode it.

    `enough`: None for the original size; else the size is the least from there on of a half, a quarter and an eighth.
    libjpeg offers all eighths, but these three are the fastest, and the truest at their size.
    """
    if image.format not in FORMATS or image.mode not in ("RGB", "L"):
        return None
    to_upright = turn(image)
    width, height = image.size[::-1] if lies_sideways(to_upright) else image.size
    least = (height, width) if enough is None else enough(height, width)
    parts = _parts(image.size[::-1], least[::-1] if lies_sideways(to_upright) else least)
    columns, rows = (-(-side // parts) for side in image.size)
    try:
        stored = simplejpeg.decode_jpeg(data, "RGB", min_height=rows, min_width=columns)
    except ValueError:  # it raises this for what libjpeg only warns of, too
        return None
    return Picture(stored, to_upright, width, height, 1 / parts)


def _parts(size: tuple[int, int], least: tuple[int, int]) -> int:
    """8, 4, 2 or 1: the largest part of this height and width that leaves at least so much of both."""
    fits = (
        parts for parts in (8, 4, 2) if all(side >= parts * enough for side, enough in zip(size, least, strict=True))
    )
    return next(fits, 1)
