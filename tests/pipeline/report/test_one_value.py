"""A column with one value in all rows, as `image_aspect` of square images, has a histogram of one bar."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.report import charts


@pytest.mark.parametrize(
    ("bars", "height"),
    [([0.0], 1.0), ([0.7], 0.7), ([0.4, 0.6], 0.6), ([0.2, 0.3, 0.5], 0.5)],
)
def test_a_histogram_of_few_bars_is_as_high_as_the_tallest(bars: list[float], height: float) -> None:
    assert charts.height(np.array(bars)) == height
