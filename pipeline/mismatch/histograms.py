"""Histograms of the scores of pairs and of random decoys, apart for captions that score alike with any image.

A caption such as "image for sale" scores higher with any image than others do. Among such captions, more may be wrong.
So captions are put into strata by their mean cosine with all images, and each stratum is compared with its own decoys.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.mismatch.decoys import Decoys
from pipeline.mismatch.pairs import Pairs, Scores

BINS = 2048
PAIRS_PER_STRATUM, MOST_STRATA = 100, 50

Counts = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histograms:
    """Counts [K, B] by stratum of the caption and by bin of the score. Positions are edges of bins, 0 to B."""

    pairs: Counts
    random: Counts

    @property
    def kept(self) -> Counts:
        """How many pairs reach each edge, [B + 1]."""
        return at_least(self.pairs.sum(axis=0))


class Evidence:
    """The scores of N pairs and of their random decoys, in bins."""

    def __init__(self, pairs: Pairs, decoys: Decoys) -> None:
        lowest = min(pairs.own.min(), decoys.scores.min())
        highest = max(pairs.own.max(), decoys.scores.max())
        self.edges = np.linspace(lowest, highest, BINS + 1)
        _, images = np.unique(pairs.images, return_inverse=True)  # from 0, so that a bootstrap can weight them
        self.images = int(images.max()) + 1
        borders = _borders(pairs.genericity)
        stratum = np.searchsorted(borders, pairs.genericity, side="right")
        self._strata = len(borders) + 1
        self._pairs = stratum * BINS + self.bins(pairs.own), images
        self._random = stratum[decoys.captions] * BINS + self.bins(decoys.scores), images[decoys.images]
        rows_of_image = np.bincount(images)
        self.size = float(len(pairs) ** 2 / np.square(rows_of_image).sum())
        """as many pairs of distinct images would say as much"""

    def bins(self, scores: Scores) -> npt.NDArray[np.intp]:
        """The bin of each score, [M]."""
        return (np.searchsorted(self.edges, scores, side="right") - 1).clip(0, BINS - 1)

    def histograms(self, weights: Weights | None = None) -> Histograms:
        """`weights`: how often each image counts, [I]; by default once."""
        return Histograms(self._counts(*self._pairs, weights), self._counts(*self._random, weights))

    def _counts(self, cells: npt.NDArray[np.intp], images: npt.NDArray[np.intp], weights: Weights | None) -> Counts:
        of_each = None if weights is None else weights[images]
        counted = np.bincount(cells, of_each, minlength=self._strata * BINS)
        return counted.reshape(self._strata, BINS).astype(np.float64)


def below(counts: Counts) -> Counts:
    """How much lies below each edge, [..., B] -> [..., B + 1]."""
    sums = np.cumsum(counts, axis=-1)
    return np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)


def at_least(counts: Counts) -> Counts:
    """How much reaches each edge, [..., B] -> [..., B + 1]."""
    sums = below(counts)
    reached: Counts = sums[..., -1:] - sums
    return reached


def _borders(genericity: Scores) -> npt.NDArray[np.float32]:
    strata = int(np.clip(len(genericity) // PAIRS_PER_STRATUM, 1, MOST_STRATA))
    return np.unique(np.quantile(genericity, np.arange(1, strata) / strata))
