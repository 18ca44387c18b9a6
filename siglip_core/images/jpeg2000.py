"""JPEG 2000 of other than 8 bits a sample, which Pillow scales to 8 bits with errors."""

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, Jpeg2KImagePlugin

_CODESTREAM = b"\xff\x4f\xff\x51"  # its start, and the marker of the sizes
_COUNT, _FIRST_DEPTH, _PER_COMPONENT = 40, 42, 3  # offsets of what the sizes say about components
_IS_SIGNED = 0x80
_PALETTE = b"pclr"  # followed by the number of entries, that of columns, the bits of each column, and the values
_ENTRIES_AND_COLUMNS = 3  # bytes
_CODING = b"\xff\x52"
_TRANSFORM = 13  # offset of the wavelet from that marker
_REVERSIBLE = 1
_BLACK, _WHITE = 0, 255
_COLOURS: Final = ("LA", "RGB", "RGBA")


def corrected(image: Image.Image, data: bytes) -> Image.Image:
    """A loaded JPEG 2000 with samples of 0 to 255; other images, and those of 8 bits, stay as they are.

    Of under 8 bits, Pillow gives white as less than 255, and spreads the numbers of a palette. Of a palette's equal
    colours, it drops all but one. Of over 8 bits in several components, it rounds white up to 256, which becomes black.

    Raises:
        ValueError: black cannot be told from white, because the compression is lossy.
    """
    if image.format != "JPEG2000":
        return image
    start = data.index(_CODESTREAM)
    count = int.from_bytes(data[start + _COUNT : start + _FIRST_DEPTH])
    places = [start + _FIRST_DEPTH + number * _PER_COMPONENT for number in range(count)]
    bits = [(data[place] & ~_IS_SIGNED) + 1 for place in places]
    if image.mode == "P":
        return _with_palette(image, data.rindex(_PALETTE, 0, start), data, bits[0])
    if image.mode in ("L", *_COLOURS) and min(bits) < 8:
        return image.point([value for each in bits for value in _to_eight_bits(each)])
    if image.mode in _COLOURS and max(bits) > 8:
        return _with_white(image, data, places)
    return image


def _to_eight_bits(bits: int) -> list[int]:
    """Pillow's samples, which are those of the file shifted left to 8 bits -> samples of 0 to 255."""
    return [(value >> max(8 - bits, 0)) * 255 // (2 ** min(bits, 8) - 1) for value in range(256)]


def _with_palette(image: Image.Image, box: int, data: bytes, bits: int) -> Image.Image:
    """`box`: offset of the palette's name in the file."""
    assert image.palette is not None
    first = box + len(_PALETTE) + _ENTRIES_AND_COLUMNS
    columns = data[first - 1]
    entries = int.from_bytes(data[first - _ENTRIES_AND_COLUMNS : first - 1])
    values = data[first + columns : first + columns + entries * columns]
    numbers = Image.fromarray(np.asarray(image) >> max(8 - bits, 0), "P")
    numbers.putpalette(values, image.palette.mode)
    return numbers


def _with_white(image: Image.Image, data: bytes, places: list[int]) -> Image.Image:
    samples = np.array(image)
    black = samples == _BLACK
    if black.any():
        samples[black & _are_light(data, places)] = _WHITE
    return Image.fromarray(samples)


def _are_light(data: bytes, places: list[int]) -> NDArray[np.bool_]:
    """Which samples are in the upper half of their range. Said to have one bit more, they are in its middle half."""
    coding = data.find(_CODING, places[-1])
    if coding < 0 or data[coding + _TRANSFORM] != _REVERSIBLE:
        raise ValueError("lossy JPEG 2000 of over 8 bits: Pillow gives white as black; convert it to another format")
    copy = bytearray(data)
    for place in places:
        copy[place] += 1
    middle = Jpeg2KImagePlugin.Jpeg2KImageFile(BytesIO(copy))
    return np.asarray(np.asarray(middle) > 128)
