"""PNG: which chunks the picture needs, and the transparent colour of images without an alpha channel."""

import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_DEPTH, _COLOUR_TYPE = 24, 25  # offsets in a file: IHDR is its first chunk
_GREY, _RGB, _PALETTE = 0, 2, 3
_ORIENTATION_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # the texts that Pillow reads it from
_LOW_BYTES = "RGB;16L"  # Pillow's name of a layout. Of big-endian samples, it gives the lower bytes.


class _Chunk(NamedTuple):
    kind: bytes
    content: memoryview
    whole: memoryview
    """with length, kind and checksum"""


def is_png(data: bytes, start: int = 0) -> bool:
    return data.startswith(_SIGNATURE, start)


def without_metadata(data: bytes) -> bytes | None:
    """The PNG with only those chunks that its picture needs; None if it has no others.

    Needed are the critical chunks, the transparent colours, and the orientation (in eXIf or in a text). The latter two
    are dropped if they are damaged, or if they are longer than Pillow reads (1 MiB after decompression). Of what lies
    behind the image data, some may be cut off.
    """
    if len(data) <= _COLOUR_TYPE:
        return None
    needed = [chunk.whole for chunk in _chunks(data) if _is_needed(chunk, data[_COLOUR_TYPE])]
    clean = b"".join([_SIGNATURE, *needed])
    return None if len(clean) == len(data) else clean


def take_transparent_pixels(image: Image.Image, data: bytes) -> NDArray[np.bool_] | None:
    """bool [H, W]: where a loaded image has a transparent colour that Pillow would miss; None if there is no such.

    Pillow ignores the colour in 16-bit grey. In 16-bit RGB, and in grey of 2 and 4 bits, it compares the colour with
    samples of another range. The colour is removed from the image's `info`.
    """
    depth, colour_type = data[_DEPTH], data[_COLOUR_TYPE]
    if "transparency" not in image.info or colour_type not in (_GREY, _RGB) or depth not in (2, 4, 16):
        return None
    colour = image.info.pop("transparency")
    if colour_type == _GREY:
        sample = colour if depth == 16 else colour * 255 // (2**depth - 1)
        return np.asarray(np.asarray(image) == sample)
    low = PngImagePlugin.PngImageFile(BytesIO(data))
    low.tile = [tile._replace(args=_LOW_BYTES) for tile in low.tile]
    equal = (np.asarray(image) == np.array(colour) >> 8) & (np.asarray(low) == np.array(colour) & 0xFF)
    return np.asarray(equal.all(axis=2))


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to the end mark. If one is cut off, it is the last."""
    view, start = memoryview(data), len(_SIGNATURE)
    while start + 8 <= len(data):
        kind = data[start + 4 : start + 8]
        end = start + 8 + int.from_bytes(view[start : start + 4]) + 4
        yield _Chunk(kind, view[start + 8 : end - 4], view[start:end])
        if kind == b"IEND":
            return
        start = end


def _is_needed(chunk: _Chunk, colour_type: int) -> bool:
    match chunk.kind:
        case b"PLTE":
            return colour_type == _PALETTE  # elsewhere it is only a suggestion
        case b"tRNS":
            least = {_GREY: 2, _RGB: 6}.get(colour_type, 1)
            return _is_sound(chunk) and len(chunk.content) >= least
        case b"eXIf":
            return _is_sound(chunk)
        case b"tEXt" | b"zTXt" | b"iTXt":
            return bytes(chunk.content[:32]).startswith(_ORIENTATION_TEXTS) and _is_sound(chunk) and _is_read(chunk)
    return not chunk.kind[0] & 0x20  # critical: the name begins with a capital letter


def _is_sound(chunk: _Chunk) -> bool:
    return zlib.crc32(chunk.content, zlib.crc32(chunk.kind)) == int.from_bytes(chunk.whole[-4:])


def _is_read(chunk: _Chunk) -> bool:
    """Whether Pillow reads the chunk without an error. It decompresses no more than 1 MiB."""
    try:
        PngImagePlugin.PngStream(BytesIO(chunk.content)).call(chunk.kind, 0, len(chunk.content))
    except Exception:  # noqa: BLE001 - Pillow raises many types
        return False
    return True
