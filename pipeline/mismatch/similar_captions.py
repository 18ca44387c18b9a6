"""How many wrong captions could be those of similar images, which score nearly as high as right ones.

Such pairs hide among the matched ones. But their scores have a lower part, where matched pairs are rare. A share p of
them needs enough pairs there. The largest p that the counts do not contradict, in any interval of scores, is the bound.
How similar the images are is unknown. So the bound is computed for several numbers of neighbours (`decoys.NEIGHBOURS`),
and the largest counts.

How such pairs score is known from decoys (`decoys.NearDecoys`). A decoy whose similar image has a wrong caption itself
scores lower. Where a share p of captions is wrong, the decoys are a mixture:

    decoys = (1 - p - r) similar + p second + r random       r: the share with random captions

which is solved for `similar`. So the bound also holds where most captions are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.mismatch.decoys import NearDecoys
from pipeline.mismatch.histograms import Evidence, below
from pipeline.mismatch.random_captions import RandomCaptions

STANDARD_ERRORS = 2.5
"""how far the counts must lie below what a share needs to contradict it"""

_STEPS = 200
_LEAST_SEEN = 0.1  # if less of the decoys lies below the floor, the pairs there say little about the others
_FEWEST = 4  # a count is taken for at least so many when its spread is computed
# Intervals of scores begin and end at these quantiles of the decoys, or at the lowest score.
_QUANTILES = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SimilarCaptions:
    share: float
    """of all pairs: the largest share that the scores allow"""
    reaching: Shares
    """[B + 1], of all pairs: the largest share of such pairs that reach each edge"""


def largest(
    evidence: Evidence,
    near: Sequence[NearDecoys],
    random: RandomCaptions | None,
    floor: int | None,
    errors: float = STANDARD_ERRORS,
) -> SimilarCaptions:
    """The largest share of captions of similar images that the scores allow.

    Args:
        near: decoys of several kinds; the one that allows most counts.
        random: the pairs with random captions; None: there are none.
        floor: the edge below which there are hardly any matched pairs; None: unknown.
        errors: how many standard errors contradict a share.
    """
    found = [_largest(_Parts(evidence, of_kind, random), floor, errors) for of_kind in near]
    reaching = np.max([of_kind.reaching for of_kind in found], axis=0)
    return SimilarCaptions(max(of_kind.share for of_kind in found), reaching)


def _largest(parts: _Parts, floor: int | None, errors: float) -> SimilarCaptions:
    shares = np.linspace(0, 1 - parts.r, _STEPS + 1)[:-1]
    share = max((share for share in shares if parts.allows(share, errors)), default=0.0)
    share = max(share, 0.0 if floor is None else parts.seen(floor, errors))
    return SimilarCaptions(float(share), share * parts.reached(share))


class _Parts:
    """Shares below each edge, [B + 1], of pairs, random decoys, and both kinds of decoys of similar images."""

    def __init__(self, evidence: Evidence, near: NearDecoys, random: RandomCaptions | None) -> None:
        counted = evidence.histograms()
        self._pairs, self._first, self._second = (
            _below(counts)
            for counts in (
                counted.pairs.sum(axis=0),
                np.bincount(evidence.bins(near.first), minlength=counted.pairs.shape[1]),
                np.bincount(evidence.bins(near.second), minlength=counted.pairs.shape[1]),
            )
        )
        self.r = 0.0 if random is None else min(1.0, random.share)
        self._random = np.ones_like(self._pairs) if random is None else 1 - random.decoys
        self._size = evidence.size
        self._size_of_decoys = evidence.size * len(near.first) / counted.pairs.sum()
        self._ends = _ends(self._first)

    def allows(self, share: float, errors: float) -> bool:
        """Whether no interval of scores has fewer pairs than this share needs, by so many standard errors."""
        start, end = self._ends
        pairs, random, first, second = (
            part[end] - part[start] for part in (self._pairs, self._random, self._first, self._second)
        )
        per_decoy = share / (1 - self.r - share)
        needed = per_decoy * (first - share * second - self.r * random)
        variance = np.maximum(pairs, _FEWEST / self._size) / self._size
        variance += np.square(random * spread_of_share(self.r, self._size))
        decoys = np.maximum(first, 1 / self._size_of_decoys) + share**2 * second
        variance += per_decoy**2 * decoys / self._size_of_decoys
        return bool(np.all(pairs - self.r * random - needed >= -errors * np.sqrt(variance)))

    def seen(self, floor: int, errors: float) -> float:
        """The share that explains the pairs below the floor, at the least. They may score otherwise than any decoys."""
        pairs, random = float(self._pairs[floor]), float(self._random[floor])
        spread = np.hypot(np.sqrt(pairs / self._size), random * spread_of_share(self.r, self._size))
        below_floor = max(0.0, pairs - self.r * random - errors * float(spread))
        part = 1 - float(self.reached(min(below_floor, 1 - self.r - 1 / _STEPS))[floor])
        return min(below_floor / max(part, _LEAST_SEEN), 1 - self.r - 1 / _STEPS)

    def reached(self, share: float) -> Shares:
        similar = (self._first - share * self._second - self.r * self._random) / (1 - self.r - share)
        # By chance, a difference of shares may fall or leave 0 to 1.
        reached: Shares = 1 - np.maximum.accumulate(similar.clip(0, 1))
        return reached


def spread_of_share(share: float, size: float) -> float:
    """The standard error of a share of random captions, which is twice the share of pairs below the decoys' median."""
    half = min(share, 1.0) / 2
    return float(2 * np.sqrt(half * (1 - half) / size))


def _below(counts: npt.NDArray[np.floating | np.integer]) -> Shares:
    sums = below(counts.astype(np.float64))
    shares: Shares = sums / max(sums[-1], 1.0)
    return shares


def _ends(first: Shares) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The first and last edge of each interval, [L] each."""
    edges = np.unique(np.concatenate([[0], np.searchsorted(first, _QUANTILES)]))
    start, end = np.triu_indices(len(edges), k=1)
    return edges[start], edges[end]
