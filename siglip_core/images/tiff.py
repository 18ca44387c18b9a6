"""TIFF: what the samples mean where Pillow leaves that open."""

import struct
from typing import Final

from PIL import Image, ImagePalette, TiffImagePlugin

_SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BIG = 43  # the version of BigTIFF, in which counts and offsets have 8 bytes
_VALUES = {3: "H", 4: "I"}  # type of a tag -> its layout: SHORT, LONG
_BLACK_IS_ZERO = 1


def is_tiff(data: bytes) -> bool:
    return data.startswith(_SIGNATURES)


def black_is_zero(data: bytes) -> bytes | None:
    """A copy that says that 0 is black, of a file with over 8 bits a sample that says that 0 is white; else None.

    Pillow inverts samples of up to 8 bits. For deeper ones, it overlooks that 0 is white, or refuses the file.
    """
    order = "<" if data.startswith(b"I") else ">"
    try:
        fields = _single_values(data, order)
    except (struct.error, OverflowError):  # the file is cut off or damaged; Pillow says where
        return None
    _, bits, _ = fields.get(TiffImagePlugin.BITSPERSAMPLE, (0, 1, ""))
    start, photometric, layout = fields.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, (0, _BLACK_IS_ZERO, ""))
    if photometric == _BLACK_IS_ZERO or photometric != 0 or bits <= 8:
        return None
    copy = bytearray(data)
    struct.pack_into(order + layout, copy, start, _BLACK_IS_ZERO)
    return bytes(copy)


def repair_palette(image: Image.Image) -> None:
    """Gives an image its palette, if the palette has 8-bit values. The standard says 16 bits, which Pillow assumes."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode in ("P", "PA"):
        values = image.tag_v2[TiffImagePlugin.COLORMAP]
        if max(values) < 256:
            image.palette = ImagePalette.raw("RGB;L", bytes(values))


def _single_values(data: bytes, order: str) -> dict[int, tuple[int, int, str]]:
    """tag -> (offset of its value, the value, layout of the value), for the first image's tags of one integer."""
    version, first = struct.unpack_from(order + "HI", data, 2)
    header, count, entry = ("Q", "Q", "HHQ") if version == _BIG else ("I", "H", "HHI")
    if version == _BIG:
        (first,) = struct.unpack_from(order + header, data, 8)
    (entries,) = struct.unpack_from(order + count, data, first)
    start = first + struct.calcsize(order + count)
    found = {}
    size = struct.calcsize(order + entry)
    for _ in range(min(entries, len(data))):
        tag, kind, length = struct.unpack_from(order + entry, data, start)
        if kind in _VALUES and length == 1:
            layout = _VALUES[kind]
            (value,) = struct.unpack_from(order + layout, data, start + size)
            found[tag] = (start + size, value, layout)
        start += size + struct.calcsize(order + header)
    return found
