"""Resizing: within one grey level of Pillow, for every resampling; and what a JPEG decoded to less costs in truth."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image
from siglip_models import image_bytes

import siglip_core
from siglip_core import Preprocessing, SiglipError
from siglip_core.preprocess import decode, from_pil
from siglip_core.resize import naflex_size
from siglip_core.variants import PUBLISHED, naflex_preprocessing

Pixels = NDArray[np.uint8]

RESAMPLINGS = [
    *(Preprocessing("hf-bicubic-aa", side) for side in (64, 224, 384)),
    *(Preprocessing("hf-bilinear-aa", side) for side in (256, 384)),
    naflex_preprocessing(16, 256),
    naflex_preprocessing(14, 64),
]
SIZES = [  # width, height
    *((1, 1), (1, 300), (300, 1), (2, 3), (17, 5), (5, 4000), (4000, 5), (64, 64), (224, 224), (223, 225)),
    *((96, 72), (200, 150), (500, 375), (375, 500), (640, 480), (480, 640), (448, 449), (300, 900), (900, 300)),
    *((224, 640), (640, 224), (384, 1000), (1201, 803), (800, 1500)),
]


def scene(width: int, height: int) -> Pixels:
    """What photos have: shades, soft and hard edges, and noise. uint8 [H, W, 3]."""
    random = np.random.default_rng(width + 10_000 * height)
    y, x = np.mgrid[:height, :width] / max(width, height)
    shades = np.stack([np.sin(7 * x + 3 * y), np.cos(11 * y - x), np.sin(30 * x * y)], axis=2) * 90 + 128
    shades[(x * 9).astype(int) % 4 == 1] -= 80
    shades[(y * 40).astype(int) % 13 == 1] += 100
    return (shades + random.normal(0, 6, shades.shape)).clip(0, 255).astype(np.uint8)


def by_pillow(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    size = (preprocessing.resolution, preprocessing.resolution)
    if preprocessing.patch_size is not None and preprocessing.max_patches is not None:
        size = naflex_size(image.height, image.width, preprocessing.patch_size, preprocessing.max_patches)
    bicubic = preprocessing.name == "hf-bicubic-aa"
    return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR))


def furthest(ours: Pixels, theirs: Pixels) -> int:
    assert ours.shape == theirs.shape
    assert ours.dtype == np.uint8
    assert ours.flags.writeable
    assert ours.flags.c_contiguous
    return int(np.abs(ours.astype(int) - theirs).max())


@pytest.mark.parametrize("preprocessing", RESAMPLINGS, ids=lambda each: each.identity)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
def test_within_one_grey_level_of_pillow(preprocessing: Preprocessing, size: tuple[int, int]) -> None:
    image = Image.fromarray(scene(*size))
    assert furthest(from_pil(image, preprocessing).pixels, by_pillow(image, preprocessing)) <= 1


@pytest.mark.parametrize("preprocessing", RESAMPLINGS, ids=lambda each: each.identity)
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (1001, 300), (300, 1001)])
def test_hard_patterns_are_within_one_grey_level_too(preprocessing: Preprocessing, size: tuple[int, int]) -> None:
    """The order of the passes and the rounding between them show most in black and white."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    random = np.random.default_rng(1).integers(0, 2, (height, width)) * 255
    for pattern in (random, (x // 3 % 2) * 255, (y // 2 % 2) * 255, ((x // 5 + y // 5) % 2) * 255):
        image = Image.fromarray(pattern.astype(np.uint8)).convert("RGB")
        assert furthest(from_pil(image, preprocessing).pixels, by_pillow(image, preprocessing)) <= 1


@pytest.mark.parametrize("grey", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("preprocessing", RESAMPLINGS, ids=lambda each: each.identity)
def test_one_colour_stays_that_colour(preprocessing: Preprocessing, grey: int) -> None:
    for size in ((3, 2), (640, 480), (30, 3000)):
        assert (from_pil(Image.new("RGB", size, (grey, grey, grey)), preprocessing).pixels == grey).all()


@pytest.mark.parametrize("preprocessing", RESAMPLINGS, ids=lambda each: each.identity)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(640, 480), (301, 903), (40, 31)])
def test_a_turned_jpeg_is_within_one_grey_level(
    preprocessing: Preprocessing, orientation: int, size: tuple[int, int]
) -> None:
    """It is resized as it lies, and turned then. Pillow turns it first."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = image_bytes(Image.fromarray(scene(*size)), "JPEG", exif=exif)
    with Image.open(BytesIO(data)) as image:
        upright = image.transpose(TURNS[orientation]) if orientation > 1 else image.convert("RGB")
    decoded = decode(data, preprocessing)
    assert (decoded.width, decoded.height) == upright.size
    assert furthest(decoded.pixels, by_pillow(upright, preprocessing)) <= 1


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

FAST = replace(Preprocessing("hf-bicubic-aa", 64), decoding="fast")


def psnr(ours: Pixels, theirs: Pixels) -> float:
    """dB; infinite for equal pixels."""
    error = float(((ours.astype(float) - theirs) ** 2).mean())
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1601, 1203)])
@pytest.mark.parametrize("preprocessing", RESAMPLINGS, ids=lambda each: each.identity)
def test_fast_is_near_exact(preprocessing: Preprocessing, size: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = image_bytes(Image.fromarray(scene(*size)), "JPEG", exif=exif, quality=92)
    exact, fast = decode(data, preprocessing), decode(data, replace(preprocessing, decoding="fast"))
    assert (fast.width, fast.height) == (exact.width, exact.height)
    assert psnr(fast.pixels, exact.pixels) >= 50


def test_fast_decodes_to_less_where_more_than_twice_the_target_is_left() -> None:
    exact = replace(FAST, decoding="exact")
    equal = []
    for size in ((640, 480), (320, 320), (319, 400), (130, 128), (64, 64)):
        data = image_bytes(Image.fromarray(scene(*size)), "JPEG")
        equal.append(bool((decode(data, FAST).pixels == decode(data, exact).pixels).all()))
    assert equal == [False, False, True, True, True]


def test_fast_leaves_other_formats_as_they_are() -> None:
    data = image_bytes(Image.fromarray(scene(640, 480)), "PNG")
    np.testing.assert_array_equal(decode(data, FAST).pixels, decode(data, replace(FAST, decoding="exact")).pixels)


def test_fast_is_in_the_identity() -> None:
    assert FAST.identity == "hf-bicubic-aa+fast1.v1@64"
    naflex = siglip_core.spec("siglip2-base-patch16-naflex", preprocessing="fast")
    assert naflex.preprocessing.identity == "naflex-bilinear-aa+fast1.v1@256x16"
    assert siglip_core.spec("siglip-base-patch16-224") == PUBLISHED["google/siglip-base-patch16-224"].decoded("exact")


def test_fast_needs_antialiasing() -> None:
    with pytest.raises(SiglipError, match="give only one of them"):
        siglip_core.spec("siglip-base-patch16-224", mode="bv", preprocessing="fast")
