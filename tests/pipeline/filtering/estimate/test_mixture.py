"""Shares of mismatched pairs, fitted to histograms whose shares are known."""

from __future__ import annotations

import numpy as np

from pipeline.filtering.estimate import mixture

BINS = 4096


def histogram(centre: float, width: float, count: int, seed: int) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(centre, width, count)
    return np.histogram(scores, BINS, (0, BINS))[0].astype(np.float64)


def test_two_kinds_of_mismatched_pairs_are_told_apart() -> None:
    random, similar = histogram(800, 150, 40_000, 0), histogram(1500, 150, 40_000, 1)
    parts = histogram(800, 150, 3000, 2), histogram(1500, 150, 2000, 3), histogram(3000, 150, 5000, 4)
    pairs = sum(parts)
    floor = mixture.floor(pairs, random)
    assert floor is not None
    assert 1500 < floor < 3000
    fitted = mixture.fit(pairs, random, similar, floor)
    assert abs(fitted.share_random - 0.3) < 0.02
    assert abs(fitted.share_similar - 0.2) < 0.02
    assert abs(fitted.mismatched[0] - 0.5) < 0.03
    assert fitted.mismatched[3000] < 0.01


def test_a_score_that_few_shuffles_happened_to_miss_is_not_taken_for_impossible() -> None:
    """Where 30 of 930 pairs lie there is none of 200 random ones, and a single similar one by chance."""
    random, similar, pairs = (np.zeros(BINS) for _ in range(3))
    random[[320, 352]] = 100  # each in a bin of its own of those that are fitted, 32 wide
    similar[[320, 352, 416, 1600]] = 20, 20, 1, 10
    pairs[[320, 352, 416, 3000]] = 450, 450, 30, 1000
    fitted = mixture.fit(pairs, random, similar, floor=2048)
    assert fitted.share_random > 0.46
    assert fitted.share_similar < 0.01


def test_below_the_floor_every_pair_counts_as_mismatched() -> None:
    """Also pairs that score lower than either kind of mismatched ones does."""
    random, similar = histogram(800, 150, 40_000, 0), histogram(1500, 150, 40_000, 1)
    pairs = histogram(800, 150, 3000, 2) + histogram(1500, 150, 2000, 3) + histogram(3000, 150, 5000, 4)
    pairs[100] += 300
    floor = 2400
    fitted = mixture.fit(pairs, random, similar, floor)
    kept = pairs.sum() - np.concatenate([[0.0], np.cumsum(pairs)])
    mismatched = fitted.mismatched * kept
    for edge in (101, 600, 1200, floor):
        np.testing.assert_allclose(mismatched[edge] - mismatched[floor], pairs[edge:floor].sum(), atol=1e-6)
