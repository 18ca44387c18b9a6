"""Whether the fourth sample of an image is its transparency: several formats leave that open.

Programs write a fourth byte that only fills up 32 bits. As transparency, it would hide the picture.
"""

import struct
from typing import Final

from PIL import Image, TiffImagePlugin

# Formats in which a fourth sample that is 0 throughout is unused. In others, such a picture is meant to be invisible.
_MAY_BE_UNUSED: Final = frozenset(["BMP", "DIB", "TGA", "DDS", "SGI", "PSD", "TIFF"])

_PSD_HEADER = 26
_TGA_FOOTER = struct.Struct("<II18s")  # offsets of the extension and of a directory, signature
_TGA_SIGNATURE = b"TRUEVISION-XFILE.\0"
_TGA_ATTRIBUTES_TYPE = 494  # offset in the extension
_TGA_UNDEFINED_ALPHA = (1, 2)


def is_unused(image: Image.Image, data: bytes) -> bool:
    """Whether a loaded image has a fourth sample that says nothing. `data`: its file; empty if that is not at hand."""
    if image.format not in _MAY_BE_UNUSED or not image.has_transparency_data:
        return False
    if image.format == "TIFF" and TiffImagePlugin.EXTRASAMPLES in image.tag_v2:  # type: ignore[attr-defined]
        return False  # the file says that it is transparency
    if image.format == "PSD" and data and not _psd_is_transparent(data):
        return True
    if image.format == "TGA" and _tga_attributes_type(data) in _TGA_UNDEFINED_ALPHA:
        return True
    return image.convert("RGBA").getchannel("A").getextrema() == (0, 0)


def _psd_is_transparent(data: bytes) -> bool:
    """Whether the fourth channel is transparency. If not, it is a selection that was saved with the picture.

    The number of layers is negative if it is transparency.
    """
    start = _PSD_HEADER
    for _ in ("colours", "resources"):
        start += 4 + int.from_bytes(data[start : start + 4])
    section, _, layers = struct.unpack_from(">IIh", data, start)
    return bool(section) and layers < 0


def _tga_attributes_type(data: bytes) -> int | None:
    if len(data) < _TGA_FOOTER.size:
        return None
    extension, _, signature = _TGA_FOOTER.unpack(data[-_TGA_FOOTER.size :])
    at = extension + _TGA_ATTRIBUTES_TYPE
    return data[at] if signature == _TGA_SIGNATURE and extension and at < len(data) else None
