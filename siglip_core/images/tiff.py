"""TIFF: what the samples mean where Pillow overlooks it, and which it would read as what they are not."""

import struct
from typing import Any, Final

from PIL import Image, ImageFile, ImagePalette, TiffImagePlugin
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COLORMAP,
    EXTRASAMPLES,
    IMAGELENGTH,
    IMAGEWIDTH,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLESPERPIXEL,
)

_SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BIG = 43  # the version of BigTIFF, in which counts and offsets have 8 bytes
_VALUES = {3: "H", 4: "I"}  # type of a field -> its layout: SHORT, LONG
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1  # values of PHOTOMETRIC_INTERPRETATION
_TOGETHER, _IN_PLANES = 1, 2  # values of PLANAR_CONFIGURATION
_PREMULTIPLIED = (1,)  # a value of EXTRASAMPLES
# Pillow's names of layouts: big-endian -> in the order of this machine
_NATIVE: Final = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


def is_tiff(data: bytes) -> bool:
    return data.startswith(_SIGNATURES)


def legible(data: bytes) -> tuple[bytes, bool]:
    """The file as Pillow can read it, and whether its picture is then the negative. Most files stay as they are.

    Pillow inverts samples of up to 8 bits whose 0 is white. For deeper ones, it overlooks that, or refuses the file. Of
    samples in planes, it overlooks what a plane's samples mean; a single plane is no different from samples together.
    """
    order = "<" if data.startswith(b"I") else ">"
    try:
        fields = _single_values(data, order)
    except (struct.error, OverflowError):  # the file is cut off or damaged; Pillow says where
        return data, False
    values = {tag: value for tag, (value, _, _) in fields.items()}
    is_negative = values.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO and values.get(BITSPERSAMPLE, 1) > 8
    changes = {PHOTOMETRIC_INTERPRETATION: _BLACK_IS_ZERO} if is_negative else {}
    if values.get(PLANAR_CONFIGURATION) == _IN_PLANES and values.get(SAMPLESPERPIXEL, 1) == 1:
        changes[PLANAR_CONFIGURATION] = _TOGETHER
    if not changes:
        return data, False
    copy = bytearray(data)
    for tag, value in changes.items():
        _, start, layout = fields[tag]
        struct.pack_into(order + layout, copy, start, value)
    return bytes(copy), is_negative


def correct(image: Image.Image) -> None:
    """Corrects how Pillow is about to read an opened TIFF. Other images stay as they are."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    if image.mode in ("P", "PA"):
        _correct_palette(image)
    if image.use_load_libtiff:
        image.tile = [tile._replace(args=_in_native_order(tile.args)) for tile in image.tile]
    elif image.tag_v2.get(PLANAR_CONFIGURATION) == _IN_PLANES and image.tag_v2.get(BITSPERSAMPLE, (1,))[0] == 16:
        _read_deep_planes(image)


def _correct_palette(image: TiffImagePlugin.TiffImageFile) -> None:
    """The values are to have 16 bits, of which Pillow takes the upper 8. Some programs write 8."""
    values = image.tag_v2[COLORMAP]
    if max(values) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(values))


def _in_native_order(args: Any) -> tuple[Any, ...]:
    """libtiff, which reads compressed files, gives samples in the order of this machine, also of big-endian files."""
    layout, *rest = args
    return (_NATIVE.get(layout, layout), *rest)


def _read_deep_planes(image: TiffImagePlugin.TiffImageFile) -> None:
    """Pillow reads planes of 16 bits as planes of 8. libtiff, which Pillow uses for compressed files, reads them."""
    layout = "RGBa" if image.tag_v2.get(EXTRASAMPLES) == _PREMULTIPLIED else image.mode
    extents = (0, 0, image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH])  # before the orientation is applied
    image.use_load_libtiff = True
    image.tile = [ImageFile._Tile("libtiff", extents, 0, (f"{layout};16N", False, image.tag_v2.offset))]


def _single_values(data: bytes, order: str) -> dict[int, tuple[int, int, str]]:
    """tag -> (value, its offset, its layout), for the fields of the first image that have one integer."""
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
            found[tag] = (value, start + size, layout)
        start += size + struct.calcsize(order + header)
    return found
