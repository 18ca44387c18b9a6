"""Models the scores of pairs as a mixture of mismatched and matched pairs, and estimates both shares from the scores.

Two parts of the mixture are known from shuffles (`shuffles`): random captions, and captions of similar images, which
score higher. The third part, matched pairs, is never seen alone. It is assumed to be symmetric about the densest point
of the scores after the random part is subtracted. So its upper half, mirrored, shows how far down it reaches: the
*floor*. Below the floor every pair counts as mismatched, and the two known parts are fitted to the scores there. Above
the floor, the fitted parts say how many pairs are mismatched.

A mixture of a known and an unknown symmetric part can be separated: Bordes, Delmas and Vandekerkhove, "Semiparametric
estimation of a two-component mixture model where one component is known", 2006. If matched pairs have a longer lower
tail than assumed, those in the tail count as mismatched: the error is on the safe side.

Scores are histograms: counts [B] over the same bins. Positions are edges of bins, 0 to B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
Shares = npt.NDArray[np.float64]

# After random mismatches are subtracted, the densest point is where the shortest interval holds this share of the rest.
# The share is small, so that this is a point of matched pairs, even if mismatches of similar images outnumber them.
_CROWD = 0.25
_SHIFTS = 10
# The spread of matched pairs above that point is measured at the top tenth of the upper half, which is robust to a few
# pairs. It is extended as for a normal distribution, from the 95 % to the 99.5 % quantile: 1 in 200 is below the floor.
_TENTH = 0.1
_REACH = 2.576 / 1.645
_BINS_TO_FIT = 32
_ITERATIONS = 100


@dataclass(frozen=True)
class Mixture:
    share_random: float
    """share of all pairs that are mismatched with random captions"""
    share_similar: float
    """share of all pairs that are mismatched with captions of similar images"""
    random_alone: Shares
    """[B + 1]: share of mismatched pairs above each edge, if all wrong captions are random"""
    mismatched: Shares
    """[B + 1]: the same share with both parts, or `random_alone` where that is larger: the safer of the two"""


def floor(pairs_B: Counts, random_B: Counts) -> int | None:
    """The edge below which there are hardly any matched pairs.

    None if it cannot be found: the pairs have no dense point above random pairs, or it is so near to them that the
    floor would be below their median.
    """
    pairs, random = _below(pairs_B), _below(random_B)
    middle = int(np.searchsorted(random, 0.5))
    others = np.maximum.accumulate(pairs - _low_tail(pairs, random, middle) * random)
    centre = _crowd(others)
    if centre is None:
        return None
    upper_tenth = int(np.searchsorted(pairs, 1 - _TENTH * (1 - pairs[centre])))
    lowest = round(centre - _REACH * (upper_tenth - centre))
    return lowest if lowest > middle else None


def fit(pairs_B: Counts, random_B: Counts, similar_B: Counts, floor: int) -> Mixture:
    """Fits the shares of the known parts to the scores below the floor, and computes the shares above each edge."""
    pairs, random, similar = _below(pairs_B), _below(random_B), _below(similar_B)
    weights = _weights(_coarse(pairs_B, floor), np.stack([_coarse(random_B, floor), _coarse(similar_B, floor)]))
    # Few or no similar scores may be below the floor. Then no share of them can explain the scores there.
    shares = weights * pairs[floor] / np.maximum([random[floor], similar[floor]], 1e-3)
    mismatched = shares[0] * (1 - random) + shares[1] * (1 - similar)
    mismatched[:floor] = mismatched[floor] + pairs[floor] - pairs[:floor]  # counted, not inferred
    kept = np.maximum(1 - pairs, 1e-12)
    random_alone = _low_tail(pairs, random, int(np.searchsorted(random, 0.5))) * (1 - random) / kept
    return Mixture(
        float(shares[0]), float(shares[1]), random_alone, np.maximum(mismatched / kept, random_alone).clip(0, 1)
    )


def _below(counts: Counts) -> Shares:
    """The share of counts below each edge, [B] -> [B + 1]."""
    total: Shares = np.concatenate([[0.0], np.cumsum(counts)])
    total /= total[-1]
    return total


def _low_tail(pairs: Shares, random: Shares, middle: int) -> float:
    """The share of random mismatches, from the lower half of random scores: nearly all pairs there are random."""
    return float(min(1.0, pairs[middle] / random[middle]))


def _crowd(below: Shares) -> int | None:
    """The middle of the densest interval: first the shortest interval, then the mean near it, which is more stable."""
    total = below[-1]
    end = np.searchsorted(below, below + _CROWD * total)
    start = np.flatnonzero(end < len(below))
    if total <= 0 or len(start) == 0:
        return None
    densest = start[np.argmin(end[start] - start)]
    width = int(end[densest] - densest)
    centre = int(densest) + width // 2
    for _ in range(_SHIFTS):
        low, high = max(centre - width, 0), min(centre + width, len(below) - 1)
        centre = round(float(np.average(np.arange(low, high) + 0.5, weights=np.diff(below[low : high + 1]))))
    return centre


def _coarse(counts: Counts, floor: int) -> Counts:
    sums: Counts = np.add.reduceat(counts[:floor], np.arange(0, floor, _BINS_TO_FIT))
    return sums


def _weights(observed: Counts, parts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The weights [K] of the parts [K, B] that make the observed counts [B] most likely, by EM."""
    shapes = parts + 0.5  # a bin that no shuffle hit is still possible
    shapes /= shapes.sum(axis=1, keepdims=True)
    weights = np.full(len(parts), 1 / len(parts))
    if observed.sum() == 0:
        return weights
    for _ in range(_ITERATIONS):
        weights = weights * (shapes @ (observed / (weights @ shapes))) / observed.sum()
    return weights
