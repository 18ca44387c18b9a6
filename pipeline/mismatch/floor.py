"""Finds the floor: the score below which there are hardly any matched pairs.

Scores of matched pairs are never seen alone. They are assumed to be symmetric about their densest point. So the upper
half, mirrored, shows how far down they reach. A mixture of a known part and an unknown symmetric part can be separated:
Bordes, Delmas and Vandekerkhove, "Semiparametric estimation of a two-component mixture model where one component is
known", 2006.

Scores are histograms: counts [B] over the same bins. Positions are edges of bins, 0 to B.
"""

from __future__ import annotations

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


def matched(pairs_B: Counts, random_B: Counts) -> int | None:
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
