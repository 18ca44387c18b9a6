"""Where labels tell most: how many pairs to draw from which range of scores, and which cuts may be certified.

A design depends on the scores and on decoys, never on a label. So the cuts are fixed before a label is known.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from pipeline.filtering.scores import Scores
from pipeline.mismatch import decoys
from pipeline.mismatch.pairs import Pairs

CONFIDENCE = 0.95
CUTS = 40
"""candidates for the cut, equally spaced by rank"""

# With decoys that explain the scores: labels are drawn evenly, down to a little below the cut that they suggest.
_BEYOND = 1.02
# Without: the better half of all pairs gets 82 % of the labels. Its cuts are then certified also if the rest is bad.
_DENSE_PAIRS, _DENSE_LABELS = 0.5, 0.82
_FEWEST_DECOYS = 300
_FEWEST_KEPT = 50
# Decoys must explain what lies in the upper half of their range too, up to this factor.
_UNEXPLAINED = 2.0


@dataclass(frozen=True)
class Stratum:
    """The pairs from `lowest` up to the stratum above."""

    lowest: float
    pairs: int
    drawn: int


@dataclass(frozen=True)
class Design:
    """Strata from the highest scores down. No pair below the last one is drawn."""

    strata: Sequence[Stratum]

    @property
    def drawn(self) -> int:
        return sum(stratum.drawn for stratum in self.strata)


def design(scores: Scores, count: int, kept_share: float | None) -> Design:
    """How to draw `count` of the pairs with these scores, [N].

    `kept_share`: the share of the pairs that a cut keeps, as far as decoys tell; None if they do not.
    """
    falling = np.sort(scores)[::-1].astype(np.float64)
    if kept_share is not None:
        lowest = _at(falling, kept_share * _BEYOND)
        pairs = int(np.count_nonzero(falling >= lowest))
        return Design([Stratum(lowest, pairs, min(count, pairs))])
    middle, lowest = _at(falling, _DENSE_PAIRS), float(falling[-1])
    above = int(np.count_nonzero(falling >= middle))
    below = len(falling) - above
    dense = min(above, max(round(_DENSE_LABELS * count), count - below))
    strata = [Stratum(middle, above, dense), Stratum(lowest, below, min(count - dense, below))]
    return Design([stratum for stratum in strata if stratum.pairs])


def uniform(scores: Scores, labelled: int) -> Design:
    """The design of labels that were drawn from all pairs alike."""
    return Design([Stratum(float(scores.min()), len(scores), labelled)])


def candidates(scores: Scores, strata: Sequence[Stratum]) -> npt.NDArray[np.float64]:
    """The thresholds of the cuts that may be certified, from the strictest to the loosest, [K]."""
    falling = np.sort(scores)[::-1].astype(np.float64)
    drawn_from = sum(stratum.pairs for stratum in strata)
    ranks = np.ceil(drawn_from * np.arange(1, CUTS + 1) / CUTS).astype(np.intp)
    return np.unique(falling[ranks - 1])[::-1]


def fewest(fraction: float) -> int:
    """The fewest labels that can certify this fraction in a large table: all of them right."""
    return math.ceil(min(math.log(1 - CONFIDENCE) / math.log1p(-fraction), sys.maxsize))


def kept_share(pairs: Pairs, fraction: float, seed: int) -> float | None:
    """The share of pairs kept by a cut with that estimated fraction of wrong ones, if captions are wrong at random.

    None if decoys do not explain the low scores: then wrong captions are of another kind, or there are hardly
    any. This guides where labels are drawn; whether a certificate is valid does not depend on it.
    """
    own, dealt = pairs.cosines(), decoys.dealt_at_random(pairs, np.random.default_rng(seed)).scores
    own, dealt = np.sort(own[np.isfinite(own)]), np.sort(dealt[np.isfinite(dealt)])
    if min(len(own), len(dealt)) < _FEWEST_DECOYS:
        return None
    median, upper = np.quantile(dealt, [0.5, 0.9])
    lower_half = float(np.mean(own < median)) / 0.5
    upper_half = float(np.mean((own >= median) & (own < upper))) / 0.4
    if upper_half > _UNEXPLAINED * lower_half or upper_half == 0:
        return None
    reached = 1 - np.arange(len(own)) / len(own)
    by_decoys = 1 - np.searchsorted(dealt, own) / len(dealt)
    met = (min(1.0, lower_half) * by_decoys <= fraction * reached) & (reached * len(own) >= _FEWEST_KEPT)
    return float(reached[met].max()) if met.any() else None


def population(scores: Scores) -> str:
    """A digest of all scores, whatever their order: whether two states of a table have the same."""
    return sha256(np.sort(scores).astype("<f8").tobytes()).hexdigest()[:32]


def _at(falling: npt.NDArray[np.float64], share: float) -> float:
    """The score that this share of all reaches."""
    return float(falling[min(len(falling), max(1, math.ceil(share * len(falling)))) - 1])
