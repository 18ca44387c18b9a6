"""The bytes of an image -> uint8 [H, W, 3], as the published image processors compute it. Imports no torch.

`siglip_core.images` decides what an image looks like where transformers leaves that open. Normalisation to [-1, 1] is
the model's first step, on the device, because uint8 takes a quarter of the bytes to send.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siglip_core import images, libtorch
from siglip_core.images import FORMATS, MAX_PIXELS, Picture, alpha
from siglip_core.resize import resize, target
from siglip_core.variants import Preprocessing

__all__ = ["FORMATS", "MAX_PIXELS", "Decoded", "decode", "from_pil", "load_libraries"]


@dataclass(frozen=True)
class Decoded:
    """An image ready for the model.

    pixels: uint8 [H, W, 3], RGB, resized.
    width, height: the original size in pixels, after the EXIF orientation was applied.
    picture: what was resized. It can take 256 MiB, so it should not be kept for long.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    picture: Picture


def decode(data: bytes, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decodes one image, makes it upright, converts it to RGB and resizes it.

    Raises:
        ImageError: with reason "too-large" if the image has more than `max_pixels` pixels, known from the header before
            a pixel is decoded; with reason "decode" if the bytes are not a complete image of a known format.
    """
    exact = preprocessing.decoding == "exact"
    to = None if exact else partial(target, preprocessing=preprocessing)
    return _resized(images.read(data, max_pixels, to), preprocessing)


def from_pil(image: Image.Image, preprocessing: Preprocessing) -> Decoded:
    """As `decode`, for an image that is already open in Pillow. Only its pixels and EXIF orientation are used."""
    upright = images.upright_rgb(image, not alpha.is_unused(image, b""))
    return _resized(images.from_image(upright), preprocessing)


def load_libraries() -> None:
    """Loads now what the first image would load: for a process whose memory will be limited."""
    libtorch.library()


def _resized(picture: Picture, preprocessing: Preprocessing) -> Decoded:
    return Decoded(resize(picture, preprocessing), picture.width, picture.height, picture)
