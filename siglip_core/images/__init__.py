"""The bytes of an image -> its picture, as a viewer shows it: upright, in RGB, on white.

transformers leaves some cases open. They are decided here:
- EXIF orientation is applied.
- Transparency is composited on white. A fourth sample that only fills up 32 bits is not transparency.
- Samples of 9 to 16 bits keep their upper 8 bits. Samples of 32 bits have no known range; their smallest value becomes
  0 and their largest 255, as image viewers do.
- CMYK and other colour spaces use Pillow's conversion to RGB; embedded ICC profiles are not applied.
- Of an animation, the first frame is used. Of an icon's images, the largest with the most colours is used.
- Damaged or huge metadata does not cost a PNG its picture.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image, ImageFile, ImageOps

from siglip_core.errors import ImageError
from siglip_core.images import alpha, icons, jpeg, jpeg2000, png, tiff
from siglip_core.images.colours import upright_rgb
from siglip_core.images.jpeg import Target
from siglip_core.images.opening import FORMATS, open_image, refuse_larger
from siglip_core.images.picture import Picture, from_image

__all__ = ["FORMATS", "MAX_PIXELS", "Picture", "Target", "from_image", "read", "upright_rgb"]

MAX_PIXELS: Final = 89_478_485  # 256 MiB as RGB; Pillow's own warning level


def read(data: bytes, max_pixels: int = MAX_PIXELS, target: Target | None = None) -> Picture:
    """The picture in RGB, at its original size. With a target, a large JPEG is decoded to less.

    Raises:
        ImageError: with reason "too-large" if the image has more than `max_pixels` pixels, known from the header before
            a pixel is decoded; with reason "decode" if the bytes are not a complete image of a known format.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process: truncated images would be embedded without "
            "an error, with their missing part in grey; set it to False"
        )
    with warnings.catch_warnings():
        # Pillow warns of decompression bombs, which `max_pixels` refuses, and of odd metadata, which changes no pixel.
        warnings.simplefilter("ignore")
        if png.is_png(data):
            return from_image(_png(data, max_pixels))
        if (icon_kind := icons.kind(data)) is not None:
            return from_image(_icon(data, icon_kind, max_pixels))
        if tiff.is_tiff(data):
            return from_image(_tiff(data, max_pixels))
        image = open_image(data, max_pixels)
        return jpeg.decoded(image, data, target) or from_image(_loaded(image, data))


def _picture(data: bytes, max_pixels: int) -> Image.Image:
    return _loaded(open_image(data, max_pixels), data)


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    with _damage_named(image.format):
        tiff.correct(image)
        image.load()
        transparent = png.take_transparent_pixels(image, data) if image.format == "PNG" else None
        image = jpeg2000.corrected(image, data)
        return upright_rgb(image, not alpha.is_unused(image, data), transparent)


def _png(data: bytes, max_pixels: int) -> Image.Image:
    """Pillow refuses a PNG for its metadata too. If it does, the PNG is read without."""
    try:
        return _picture(data, max_pixels)
    except ImageError as error:
        clean = png.without_metadata(data) if error.reason == "decode" else None
        if clean is None:
            raise
        return _picture(clean, max_pixels)


def _tiff(data: bytes, max_pixels: int) -> Image.Image:
    legible, is_negative = tiff.legible(data)
    picture = _picture(legible, max_pixels)
    return ImageOps.invert(picture) if is_negative else picture


def _icon(data: bytes, kind: str, max_pixels: int) -> Image.Image:
    with _damage_named(kind):
        icon = icons.largest(data)
        if png.is_png(data, icon.offset):
            return _png(data[icon.offset :], max_pixels)
        refuse_larger(kind, (icon.width, icon.height), max_pixels)
        return upright_rgb(icons.bitmap(data, icon))


@contextmanager
def _damage_named(kind: str | None) -> Iterator[None]:
    """Pillow's readers raise almost any error on damaged bytes."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError("decode", f"damaged {kind}: {error}; download the image again or leave it out") from error
