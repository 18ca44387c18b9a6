"""A loaded Pillow image -> upright RGB of 8 bits a sample, as a viewer shows it on white."""

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

_TRANSPOSE: dict[int, Image.Transpose] = {  # EXIF orientation -> the operation that makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_rgb(
    image: Image.Image, has_alpha: bool = True, transparent: NDArray[np.bool_] | None = None
) -> Image.Image:
    """`has_alpha`: whether a fourth sample is transparency. `transparent`: bool [H, W], further transparent pixels."""
    to_upright = turn(image)  # read before conversion: converted copies have no EXIF and no format
    rgb = _rgb(_eight_bit(image), has_alpha)
    if transparent is not None:
        rgb.paste((255, 255, 255), mask=Image.fromarray(transparent))
    return rgb if to_upright is None else rgb.transpose(to_upright)


def turn(image: Image.Image) -> Image.Transpose | None:
    """The operation that makes the image upright; None if it already is."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - an unreadable EXIF block is common and does not affect the pixels
        return None
    return _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None


def _rgb(image: Image.Image, has_alpha: bool) -> Image.Image:
    """Any mode of 8 bits -> RGB. Pillow's own conversion drops alpha, which shows what transparent pixels hide."""
    if has_alpha and image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits -> 8 bits. Pillow's own conversion would clip it to white. Others stay unchanged."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        samples = np.asarray(image).astype(np.int32) >> (_bits(image) - 8)
        return Image.fromarray(samples.clip(0, 255).astype(np.uint8), "L")
    return _stretched(image) if image.mode in ("I", "F") else image


def _bits(image: Image.Image) -> int:
    """The bits of a sample of up to 16. Pillow scales samples of fewer bits to 16, except those of TIFF."""
    stated = (
        image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ()) if isinstance(image, TiffImagePlugin.TiffImageFile) else ()
    )
    return stated[0] if stated and 8 < stated[0] < 16 else 16


def _stretched(image: Image.Image) -> Image.Image:
    """Samples of any range as grey: the smallest becomes black, the largest white, and NaN black."""
    samples = np.asarray(image).astype(np.float32)
    numbers = samples[np.isfinite(samples)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite samples are clipped
        grey = (samples - low) * (255 / (high - low) if high > low else 0)
    return Image.fromarray(np.nan_to_num(grey.clip(0, 255)).astype(np.uint8), "L")
