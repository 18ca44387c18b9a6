"""Scores of pairs as a mixture of mismatched and matched ones: how much of each, from the scores alone.

Two parts of it are known from shuffles (`shuffles`): captions dealt at random, and captions of
similar images, which score higher. The third, matched pairs, is never seen alone. It is taken to lie evenly around the
point where scores crowd once the random part is taken away; its upper half, mirrored, says how far down it reaches.
Below that *floor* every pair counts as mismatched, and the two known parts are fitted to what lies there. Above it, as
many pairs are mismatched as those two parts have there.

That a mixture of a known and an unknown symmetric part can be told apart: Bordes, Delmas and Vandekerkhove,
"Semiparametric estimation of a two-component mixture model where one component is known", 2006. Where matched pairs
have a longer lower tail than that, they count as mismatched: the error is to the safe side.

Scores come as histograms, counts [B] over the same bins; places among them are edges, 0 to B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
Shares = npt.NDArray[np.float64]

# The pairs left when random mismatches are taken away crowd where the shortest interval holds this share of them: a
# small one, so that it is found among matched pairs also where these are few beside mismatched ones of similar images.
_CROWD = 0.25
_SHIFTS = 10
# How far matched pairs reach above the crowd is measured at a tenth of the upper half, which few pairs move little, and
# carried on as for a normal distribution, from its 95 % quantile to the 99.5 % one: floors that lie below 1 in 200.
_TENTH = 0.1
_REACH = 2.576 / 1.645
_BINS_TO_FIT = 32
_ITERATIONS = 100


@dataclass(frozen=True)
class Mixture:
    share_random: float
    """of all pairs: mismatched, as if captions were dealt at random"""
    share_similar: float
    """of all pairs: mismatched, as if captions were those of similar images"""
    random_alone: Shares
    """[B + 1]: the share of mismatched among pairs above each edge, if all were dealt at random"""
    mismatched: Shares
    """[B + 1]: the same with both parts, or by random captions alone where that is more: the safer of the two"""


def floor(pairs_B: Counts, random_B: Counts) -> int | None:
    """The edge below which hardly any matched pair lies.

    None where it cannot be found: no pairs crowd above random ones, or so near them that the floor comes to lie below
    the middle of those.
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
    """Shares of the known parts from the scores below the floor, and what they make of the scores above each edge."""
    pairs, random, similar = _below(pairs_B), _below(random_B), _below(similar_B)
    weights = _weights(_coarse(pairs_B, floor), np.stack([_coarse(random_B, floor), _coarse(similar_B, floor)]))
    # The floor may be above few similar scores or none: then no share of them explains what lies below it.
    shares = weights * pairs[floor] / np.maximum([random[floor], similar[floor]], 1e-3)
    mismatched = shares[0] * (1 - random) + shares[1] * (1 - similar)
    mismatched[:floor] = mismatched[floor] + pairs[floor] - pairs[:floor]  # counted, not inferred
    kept = np.maximum(1 - pairs, 1e-12)
    random_alone = _low_tail(pairs, random, int(np.searchsorted(random, 0.5))) * (1 - random) / kept
    return Mixture(
        float(shares[0]), float(shares[1]), random_alone, np.maximum(mismatched / kept, random_alone).clip(0, 1)
    )


def _below(counts: Counts) -> Shares:
    """The share that lies below each edge, [B] -> [B + 1]."""
    total: Shares = np.concatenate([[0.0], np.cumsum(counts)])
    total /= total[-1]
    return total


def _low_tail(pairs: Shares, random: Shares, middle: int) -> float:
    """The share of random mismatches, from the lower half of random scores, where hardly a pair is another one."""
    return float(min(1.0, pairs[middle] / random[middle]))


def _crowd(below: Shares) -> int | None:
    """The middle of the densest stretch: from the shortest one, the mean is followed, which sways less."""
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
    """The mix of the parts [K, B] under which the observed counts [B] are most likely, [K], by EM."""
    shapes = parts + 0.5  # no bin is impossible because a shuffle missed it
    shapes /= shapes.sum(axis=1, keepdims=True)
    weights = np.full(len(parts), 1 / len(parts))
    if observed.sum() == 0:
        return weights
    for _ in range(_ITERATIONS):
        weights = weights * (shapes @ (observed / (weights @ shapes))) / observed.sum()
    return weights
