"""The interval that holds the share of mismatched pairs among the kept ones, if wrong captions are random."""

from __future__ import annotations

import numpy as np

from pipeline.mismatch.histograms import Evidence, Histograms
from pipeline.mismatch.random_captions import MIDDLE, RandomCaptions, fractions

REPLICATES = 200
CONFIDENCE = 0.95

# Where matched pairs have low scores, they count as mismatched. The lowest scores are hardly disturbed by them.
_LOW_QUANTILES = (0.1, 0.2, 0.3, MIDDLE)


def interval(
    evidence: Evidence, found: RandomCaptions, asked: float, cut: int, least_kept: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The interval at the edge `cut`, by a bootstrap over images, with all pairs of an image.

    Each replicate chooses its own cut for the share `asked`, as `cut` was chosen. What the whole sample says of that
    cut, less what the replicate says of it, is its error. This includes that a cut is chosen where the estimate happens
    to be low. Beside the error, the number of mismatched pairs varies by chance.
    """
    whole = evidence.histograms()
    lowest = np.min([fractions(whole, quantile).mismatched for quantile in _LOW_QUANTILES], axis=0)
    fraction, kept = found.mismatched[cut], whole.kept[cut] * evidence.size / whole.kept[0]  # of distinct images
    lows, highs = [], []
    for _ in range(REPLICATES):
        replicate = evidence.histograms(rng.poisson(1.0, evidence.images).astype(np.float64))
        at, said = _cut(replicate, asked, least_kept)
        lows.append(rng.poisson(max(fraction + lowest[at] - said, 0) * kept) / kept)
        highs.append(rng.poisson(max(fraction + found.mismatched[at] - said, 0) * kept) / kept)
    low, high = np.quantile(lows, (1 - CONFIDENCE) / 2), np.quantile(highs, (1 + CONFIDENCE) / 2)
    return float(low), float(min(high, 1.0))


def _cut(replicate: Histograms, asked: float, least_kept: int) -> tuple[int, float]:
    """The edge that a replicate chooses for the share `asked`, and the share that it says of it."""
    said = np.where(replicate.kept >= least_kept, fractions(replicate).mismatched, np.inf)
    reached = np.flatnonzero(said <= asked)
    at = int(reached[0]) if len(reached) else int(said.argmin())
    return at, float(said[at])
