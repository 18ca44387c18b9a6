"""ICO and CUR: the image that a viewer shows, which is the largest, with the most colours.

Pillow takes the fewest colours among images of one size, believes the directory about the bits of an image, and applies
no mask to most cursors.
"""

import struct
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image

from siglip_core.images import png

_SIGNATURES: Final = {b"\0\0\1\0": "ICO", b"\0\0\2\0": "CUR"}
_COUNT, _FIRST_ENTRY, _ENTRY_LENGTH, _OFFSET_IN_ENTRY = 4, 6, 16, 12
_PNG_SIZE = 16  # offset of width and height in a PNG
_BITMAP = struct.Struct("<IiiHH")  # length of this header, width, height with the mask's, planes, bits a pixel
_BITMAP_HEIGHT = 8  # offset in the header


class Icon(NamedTuple):
    """One of the images in an icon's file: a PNG, or a bitmap with a mask below it."""

    width: int
    height: int
    bits: int
    offset: int


def kind(data: bytes) -> str | None:
    """Which icon's file the bytes are: "ICO" or "CUR"; None if neither. A TGA may begin as a CUR of no images does."""
    return _SIGNATURES.get(data[:_COUNT]) if any(data[_COUNT:_FIRST_ENTRY]) else None


def largest(data: bytes) -> Icon:
    """The image to show.

    Raises:
        ValueError: the file has no image whose header can be read.
    """
    count = int.from_bytes(data[_COUNT:_FIRST_ENTRY], "little")
    entries = range(_FIRST_ENTRY, _FIRST_ENTRY + count * _ENTRY_LENGTH, _ENTRY_LENGTH)
    offsets = [data[entry + _OFFSET_IN_ENTRY : entry + _ENTRY_LENGTH] for entry in entries]
    icons = [icon for offset in offsets if (icon := _icon(data, int.from_bytes(offset, "little"))) is not None]
    if not icons:
        raise ValueError(f"none of its {count} images has a header")
    return max(icons, key=lambda icon: (icon.width * icon.height, icon.bits))


def bitmap(data: bytes, icon: Icon) -> Image.Image:
    """RGBA of an image that is no PNG.

    In 32 bits a pixel, the fourth byte is alpha. If it is 0 throughout, it is unused, and the mask counts.
    """
    content = bytearray(data[icon.offset :])
    struct.pack_into("<i", content, _BITMAP_HEIGHT, icon.height)
    colours = BmpImagePlugin.DibImageFile(BytesIO(content))
    start = colours.tile[0].offset
    image = colours.convert("RGBA")
    stride = _stride(icon.width, icon.bits)
    alpha = _rows(content, start, icon.height, stride)[:, 3::4] if icon.bits == 32 else None
    if alpha is None or not alpha.any():
        mask = _rows(content, start + icon.height * stride, icon.height, _stride(icon.width, 1))
        alpha = np.where(np.unpackbits(mask, axis=1)[:, : icon.width], 0, 255).astype(np.uint8)
    image.putalpha(Image.fromarray(alpha))
    return image


def _icon(data: bytes, offset: int) -> Icon | None:
    # Size and bits are those of the image itself: a directory is often wrong about them, and a cursor's has no bits.
    try:
        if png.is_png(data, offset):
            width, height = struct.unpack_from(">II", data, offset + _PNG_SIZE)
            return Icon(width, height, 32, offset)
        length, width, height, _, bits = _BITMAP.unpack_from(data, offset)
    except struct.error:
        return None
    return Icon(width, height // 2, bits, offset) if length >= 40 and width > 0 and height > 1 else None


def _stride(width: int, bits: int) -> int:
    return (width * bits + 31) // 32 * 4


def _rows(content: bytearray, start: int, height: int, stride: int) -> NDArray[np.uint8]:
    """uint8 [height, stride] from the top; a bitmap's rows begin at the bottom. What is cut off counts as 0."""
    rows = np.zeros((height, stride), np.uint8)
    found = np.frombuffer(content[start : start + height * stride], np.uint8)
    rows.reshape(-1)[: len(found)] = found
    return rows[::-1]
