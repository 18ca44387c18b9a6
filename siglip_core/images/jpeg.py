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

Target = Callable[[int, int], tuple[int, int]]
"""height and width of an upright original -> those to which it will be resized"""

_PARTS: Final = {8: 3.5, 4: 3.0, 2: 2.5}
"""An eighth, a quarter and a half of the size, and how many times the target each has to be at least.

libjpeg offers all eighths, but these three are the fastest, and the truest at their size. An eighth is the least true:
it is the mean of a block of 8 x 8.
"""


def decoded(image: Image.Image, data: bytes, target: Target | None) -> Picture | None:
    """The picture of these bytes, of which Pillow has read the header as `image`; None if Pillow has to decode it.

    `target`: None for the original size; else it is decoded to a part of it, if that is still several times the target.
    """
    if image.format not in FORMATS or image.mode not in ("RGB", "L"):
        return None
    to_upright = turn(image)
    width, height = image.size[::-1] if lies_sideways(to_upright) else image.size
    parts = 1 if target is None else _parts((height, width), target(height, width))
    columns, rows = (-(-side // parts) for side in image.size)
    try:
        stored = simplejpeg.decode_jpeg(data, "RGB", min_height=rows, min_width=columns)
    except ValueError:  # it raises this for what libjpeg only warns of, too
        return None
    return Picture(stored, to_upright, width, height, 1 / parts)


def _parts(size: tuple[int, int], target: tuple[int, int]) -> int:
    """8, 4, 2 or 1."""
    shrinks = min(side / wanted for side, wanted in zip(size, target, strict=True))
    return next((parts for parts, times in _PARTS.items() if shrinks >= parts * times), 1)
