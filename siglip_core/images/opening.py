"""Finds the format of bytes and reads their header: the size is known before a pixel is decoded."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Final

from PIL import Image, UnidentifiedImageError

from siglip_core import signatures
from siglip_core.errors import ImageError
from siglip_core.images import plugins

# All formats that Pillow decodes without other programs. EPS is left out because it runs ghostscript, and IPTC because
# it may contain EPS. Pillow recognises WMF, BUFR, GRIB, HDF5 and MPEG, but cannot decode them. Pillow tries the formats
# in this order, so those without a signature come last. `icons` reads ICO and CUR instead of Pillow.
FORMATS: Final = (
    *(
        "JPEG",
        "PNG",
        "WEBP",
        "GIF",
        "TIFF",
        "AVIF",
        "BMP",
        "JPEG2000",
        "PPM",
        "ICO",
        "PSD",
        "ICNS",
        "SGI",
        "DDS",
        "QOI",
    ),
    *("BLP", "CUR", "DCX", "FITS", "FLI", "FTEX", "MSP", "PCX", "PIXAR", "SUN", "XBM", "XPM", "XVTHUMB", "DIB", "GBR"),
    *("IM", "PCD", "MCIDAS", "IMT", "SPIDER", "TGA"),
)
_HEAD = 512  # bytes that tell what a file is
_PREFIX = 16  # bytes by which Pillow's readers know their format


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """The image, of which only the header has been read.

    Raises:
        ImageError: the bytes are no image that can be decoded, or it has more than `max_pixels` pixels.
    """
    try:
        image = _opened(data, max_pixels)
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", f"{error}; resize it or leave it out") from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        why = f"not an image that Pillow decodes ({_looks_like(data)}{_reason(data, error)})"
        raise ImageError("decode", why) from error
    refuse_larger(image.format, image.size, max_pixels)
    return image


def refuse_larger(kind: str | None, size: tuple[int, int], max_pixels: int) -> None:
    """Raises ImageError if an image of this width and height has more pixels."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            "too-large",
            f"{kind} of {width} x {height} pixels is above the limit of {max_pixels}; resize it or raise max_pixels",
        )


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    kind = plugins.kind(data)
    if kind is None:
        return Image.open(BytesIO(data), formats=FORMATS)
    if kind == plugins.JPEG_XL and (size := plugins.jpeg_xl_size(data)) is not None:
        refuse_larger(kind, size, max_pixels)
    return plugins.open_image(data, kind)


def _reason(data: bytes, error: Exception) -> str:
    """Why the reader of the format refuses the bytes, after "; ". Pillow says no more than that all its readers did."""
    if not isinstance(error, UnidentifiedImageError):
        return f"; {error}"
    for name in FORMATS:
        reader, accepts = Image.OPEN[name]
        if accepts is not None and _accepts(accepts, data):
            try:
                reader(BytesIO(data), "")
            except Exception as its:  # noqa: BLE001 - Pillow's readers raise almost any error
                return f"; {name}: {its}"
    return ""


def _accepts(accepts: Callable[[bytes], bool | str], data: bytes) -> bool:
    try:
        return accepts(data[:_PREFIX]) is True
    except (IndexError, struct.error):  # of fewer bytes than a format's signature has
        return False


def _looks_like(data: bytes) -> str:
    """What the bytes look like, for a message: "HTML", "empty (0 bytes)", "a damaged JPEG", or the first bytes."""
    if not data:
        return "empty (0 bytes)"
    kind = signatures.kind(data[:_HEAD].lstrip(signatures.BLANK))  # some servers send blank lines before an image
    if kind is None:
        return f"{len(data)} bytes, starting {data[:12]!r}"
    return f"the bytes look like {'a damaged ' if kind in signatures.IMAGES else ''}{kind}"
