"""Odd images whose right pixels are known, because the test has drawn them."""

import numpy as np
import pytest

from siglip_core import images
from tests.siglip_core.images import drawn

CASES = drawn.cases()


@pytest.mark.parametrize("name", CASES)
def test_the_picture_is_what_a_viewer_shows(name: str) -> None:
    data, right = CASES[name]
    pixels = np.asarray(images.read(data))
    assert pixels.shape == right.shape
    assert np.abs(pixels.astype(int) - right).max() <= 2  # rounding
