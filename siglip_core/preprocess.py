"""The bytes of an image -> uint8 [H, W, 3], as the published image processors compute it. Needs numpy and Pillow only.

Normalisation to [-1, 1] is the model's first step, on the device, because uint8 takes a quarter of the bytes to send.

transformers leaves some cases open. They are decided here:
- EXIF orientation is applied.
- Transparency is composited on white.
- Samples of 9 to 16 bits keep their upper 8 bits. Samples of 32 bits have no known range; their smallest value becomes
  0 and their largest 255, as image viewers do.
- CMYK and other colour spaces use Pillow's conversion to RGB; embedded ICC profiles are not applied.
- Of an animation, the first frame is used.
"""

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from siglip_core import signatures
from siglip_core.errors import ImageError
from siglip_core.resize import resize
from siglip_core.variants import Preprocessing

# All formats that Pillow decodes without other programs. EPS is left out because it runs ghostscript, and IPTC because
# it may contain EPS. Pillow recognises WMF, BUFR, GRIB, HDF5 and MPEG, but cannot decode them. Pillow tries the formats
# in this order, so those without a signature come last.
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
MAX_PIXELS: Final = 89_478_485  # 256 MiB as RGB; Pillow's own warning level

_BITS_PER_SAMPLE = 258  # of TIFF
_TRANSPOSE: dict[int, Image.Transpose] = {  # EXIF orientation -> the operation that makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """An image ready for the model.

    pixels: uint8 [H, W, 3], RGB, resized.
    width, height: the original size in pixels, after the EXIF orientation was applied.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(data: bytes, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decodes one image of a format in FORMATS, makes it upright, converts it to RGB and resizes it.

    Raises:
        ImageError: with reason "too-large" if the image has more than `max_pixels` pixels, known from the header before
            a pixel is decoded; with reason "decode" if the bytes are not a complete image of these formats.
    """
    with warnings.catch_warnings():
        # Pillow warns of decompression bombs, which `max_pixels` refuses, and of odd metadata, which changes no pixel.
        warnings.simplefilter("ignore")
        image = _open(data, max_pixels)
        try:
            image.load()
            _refuse_larger(image, max_pixels)  # an icon's header does not contain the size of the image inside it
            upright = _upright_rgb(image)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # Pillow's readers raise almost any error on damaged bytes
            raise ImageError(
                "decode", f"damaged {image.format}: {error}; download the image again or leave it out"
            ) from error
    return Decoded(resize(upright, preprocessing), upright.width, upright.height)


def from_pil(image: Image.Image, preprocessing: Preprocessing) -> Decoded:
    """As `decode`, for an image that is already open in Pillow. Only its pixels and EXIF orientation are used."""
    upright = _upright_rgb(image)
    return Decoded(resize(upright, preprocessing), upright.width, upright.height)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Reads only the header, and refuses an image that is too large before anything is decoded."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process: truncated images would be embedded without "
            "an error, with their missing part in grey; set it to False"
        )
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", f"{error}; resize it or leave it out") from error
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError("decode", f"not an image that Pillow decodes ({_looks_like(data)})") from error
    _refuse_larger(image, max_pixels)
    return image


def _refuse_larger(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError(
            "too-large",
            f"{image.format} of {image.width} x {image.height} pixels is above the limit of {max_pixels}; "
            "resize it or raise max_pixels",
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    turn = _turn(image)  # read before conversion: converted copies have no EXIF and no format
    rgb = _rgb(_eight_bit(image))
    return rgb if turn is None else rgb.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The operation that makes the image upright; None if it already is."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - an unreadable EXIF block is common and does not affect the pixels
        return None
    return _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode of 8 bits -> RGB. Pillow's own conversion drops alpha, which shows what transparent pixels hide."""
    if image.has_transparency_data:
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
    stated = image.tag_v2.get(_BITS_PER_SAMPLE, ()) if isinstance(image, TiffImagePlugin.TiffImageFile) else ()
    return stated[0] if stated and 8 < stated[0] < 16 else 16


def _stretched(image: Image.Image) -> Image.Image:
    """Samples of any range as grey: the smallest becomes black, the largest white, and NaN black."""
    samples = np.asarray(image).astype(np.float32)
    numbers = samples[np.isfinite(samples)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite samples are clipped
        grey = (samples - low) * (255 / (high - low) if high > low else 0)
    return Image.fromarray(np.nan_to_num(grey.clip(0, 255)).astype(np.uint8), "L")


def _looks_like(data: bytes) -> str:
    """What the bytes look like, for a message: "HTML", "empty (0 bytes)", "a damaged JPEG", or the first bytes."""
    if not data:
        return "empty (0 bytes)"
    kind = signatures.kind(data[:512].lstrip(signatures.BLANK))  # some servers send blank lines before an image
    if kind is None:
        return f"{len(data)} bytes, starting {data[:12]!r}"
    return f"the bytes look like {'a damaged ' if kind in signatures.IMAGES else ''}{kind}"
