"""HEIC and JPEG XL: read by plugins of Pillow that are extras of this package.

Only the plugins' reader classes are called. Pillow's list of formats, which the whole process shares, is not used.
"""

import importlib
from io import BytesIO
from typing import Final, NamedTuple

from PIL import ExifTags, Image

from siglip_core import signatures
from siglip_core.errors import ImageError


class _Plugin(NamedTuple):
    package: str
    extra: str
    module: str
    reader: str


JPEG_XL: Final = "JPEG XL"

_PLUGINS: Final = {
    "HEIC": _Plugin("pillow-heif", "heif", "pillow_heif", "HeifImageFile"),
    JPEG_XL: _Plugin("pillow-jxl-plugin", "jxl", "pillow_jxl.JpegXLImagePlugin", "JXLImageFile"),
}
_HEAD = 256  # bytes that say which format it is


def kind(data: bytes) -> str | None:
    """ "HEIC" or "JPEG XL"; None if the bytes are neither."""
    found = signatures.kind(data[:_HEAD])
    return found if found in _PLUGINS else None


def open_image(data: bytes, kind: str) -> Image.Image:
    """The image of that kind, made upright where its format says so outside of EXIF.

    Raises:
        ImageError: the plugin is not installed.
    """
    plugin = _PLUGINS[kind]
    try:
        reader = getattr(importlib.import_module(plugin.module), plugin.reader)
    except ImportError as error:
        raise ImageError(
            "decode", f"{kind} needs the package {plugin.package}; pip install 'siglane[{plugin.extra}]' ({error})"
        ) from error
    image: Image.Image = reader(BytesIO(data))
    if kind == JPEG_XL and not image.jpeg:  # type: ignore[attr-defined]
        # Its own header has the orientation, which the plugin applies. That of EXIF does not count.
        image.getexif().pop(ExifTags.Base.Orientation, None)
    return image


def jpeg_xl_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the header, before the orientation is applied; None if there is no header.

    The plugin reads the pixels as soon as it opens a file, so an image that is too large must be known before.
    """
    codestream = _codestream(data)
    if codestream is None:
        return None
    bits = _Bits(int.from_bytes(codestream[2:14], "little"))
    is_small = bits.take(1)
    height = _length(bits, is_small)
    ratio = bits.take(3)
    if ratio == 0:
        return _length(bits, is_small), height
    over, under = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)][ratio - 1]
    return height * over // under, height


class _Bits:
    """Takes bits from the lower end of a number."""

    def __init__(self, number: int) -> None:
        self._rest = number

    def take(self, count: int) -> int:
        taken = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return taken


def _length(bits: _Bits, is_small: int) -> int:
    if is_small:
        return (bits.take(5) + 1) * 8
    return bits.take([9, 13, 18, 30][bits.take(2)]) + 1


def _codestream(data: bytes) -> bytes | None:
    """The first bytes of the codestream: the file itself, or in the first box `jxlc` or `jxlp` of a container."""
    if data.startswith(b"\xff\x0a"):
        return data[:_HEAD]
    start = 0
    while start + 8 <= len(data):
        length, name = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        header = 8
        if length == 1:
            length, header = int.from_bytes(data[start + 8 : start + 16]), 16
        if name in (b"jxlc", b"jxlp"):
            begin = start + header + (4 if name == b"jxlp" else 0)
            return data[begin : begin + _HEAD]
        if length < header:
            return None
        start += length
    return None
