"""Real photos: every model's pixels within one grey level of Pillow's. Skipped where ../shared/data is absent."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from siglip_core.preprocess import decode
from siglip_core.resize import target
from siglip_core.variants import PUBLISHED, Preprocessing
from tests.conftest import SHARED_DATA

REAL = SHARED_DATA / "real"
STEP = 2
"""Every second photo, of 1,699."""

pytestmark = [pytest.mark.skipif(not REAL.exists(), reason="../shared/data/real is not here"), pytest.mark.timeout(600)]

RESAMPLINGS = {spec.preprocessing.identity: spec.preprocessing for spec in PUBLISHED.values()}
RESAMPLINGS["siglip-pico"] = Preprocessing("hf-bicubic-aa", 64)


def photos() -> list[bytes]:
    return [photo.read_bytes() for photo in sorted(REAL.rglob("*.jp*g"))[::STEP]]


def by_pillow(data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    opened: Image.Image = Image.open(io.BytesIO(data))
    image = ImageOps.exif_transpose(opened).convert("RGB")
    rows, columns = target(image.height, image.width, preprocessing)
    bicubic = preprocessing.name == "hf-bicubic-aa"
    return np.asarray(image.resize((columns, rows), Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR))


@pytest.mark.parametrize("name", RESAMPLINGS)
def test_exact_is_within_one_grey_level_of_pillow(name: str) -> None:
    preprocessing = RESAMPLINGS[name]
    for data in photos():
        difference = decode(data, preprocessing).pixels.astype(int) - by_pillow(data, preprocessing)
        assert np.abs(difference).max() <= 1


def test_fast_differs_little() -> None:
    """Most from prints and drawings of fine lines."""
    exact = RESAMPLINGS["siglip-pico"]
    decibels = []
    for data in photos():
        error = decode(data, exact).pixels.astype(float) - decode(data, replace(exact, decoding="fast")).pixels
        if error.any():
            decibels.append(10 * np.log10(255**2 / (error**2).mean()))
    assert len(decibels) > 400
    assert np.median(decibels) > 52
    assert min(decibels) > 40
