"""The floor of matched pairs, in histograms whose parts are known."""

from __future__ import annotations

import numpy as np

from pipeline.mismatch import floor

BINS = 4096


def histogram(centre: float, width: float, count: int, seed: int) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(centre, width, count)
    return np.histogram(scores, BINS, (0, BINS))[0].astype(np.float64)


def test_the_floor_lies_below_the_matched_pairs_and_above_the_others() -> None:
    random = histogram(800, 150, 40_000, 0)
    pairs = histogram(800, 150, 3000, 2) + histogram(1500, 150, 2000, 3) + histogram(3000, 150, 5000, 4)
    found = floor.matched(pairs, random)
    assert found is not None
    assert 2400 < found < 2800


def test_pairs_that_score_as_decoys_do_have_none() -> None:
    assert floor.matched(histogram(800, 150, 5000, 1), histogram(800, 150, 40_000, 0)) is None
