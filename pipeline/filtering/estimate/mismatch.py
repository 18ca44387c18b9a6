"""`--max-mismatch-fraction R`: a cut with an estimated error rate, without labels.

The cut keeps as many pairs as possible, while at most a share R of the kept pairs is estimated to be mismatched.
`mixture` estimates the share. This module turns it into a cut with a confidence interval, or into the reason why there
is no cut. Captions that are nearly right score like right captions; the estimate cannot see them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.filtering.estimate import mixture, shuffles
from pipeline.filtering.estimate.mixture import Counts, Mixture
from pipeline.filtering.estimate.shuffles import Pairs, Shuffled

MIN_PAIRS = 300
MIN_MATCHED = 100
MIN_KEPT = 50
REPLICATES = 200
CONFIDENCE = 0.95

_BINS = 4096
# An interval that reaches above this many times the requested fraction is useless.
_WIDEST = 3.0
# If similar captions explain more than a tenth as many pairs as are matched, their scores above the floor decide the
# estimate. These scores come from each image's nearest neighbour, which is not near enough among too few images.
_FEW_SIMILAR = 0.1
# If more than this share of the similar part lies above the floor, most such pairs cannot be seen, however many exist.
_MOST_HIDDEN = 0.5
_MIN_NEIGHBOURHOOD = shuffles.NEIGHBOURHOOD // 2


class CannotTellError(Exception):
    """The scores do not support an estimate. The message gives the reason, as the end of a sentence."""


@dataclass(frozen=True)
class Estimate:
    threshold: float
    """lowest cosine to keep"""
    mismatch_fraction: float
    """share of mismatched pairs among those that reach the threshold"""
    interval: tuple[float, float]
    """95 % confidence interval of `mismatch_fraction`, by a bootstrap over images"""
    pi0: float
    """share of mismatched pairs among all pairs, `share_random` + `share_similar`"""
    share_random: float
    share_similar: float
    random_alone: float
    """`mismatch_fraction` under the assumption that all wrong captions are random"""
    null: Literal["random", "similar"]
    """the shuffles that gave the larger fraction: random ones alone, or together with captions of similar images"""
    pairs: int
    """number of pairs behind the estimate"""


@dataclass(frozen=True)
class Curve:
    """The estimate for every cut, [N] each, from the lowest cosine to the highest that keeps enough pairs."""

    thresholds: npt.NDArray[np.float64]
    kept: npt.NDArray[np.float64]
    """share of all pairs that reach the threshold"""
    mismatched: npt.NDArray[np.float64]
    """share of the kept pairs"""
    random_alone: npt.NDArray[np.float64]
    """`mismatched` under the assumption that all wrong captions are random"""


def curve(pairs: Pairs, seed: int) -> Curve:
    """The estimate for every cut, by the same method as `estimate`.

    Raises:
        CannotTellError: too few pairs, or no separation.
    """
    evidence, fitted = _fitted(pairs, np.random.default_rng(seed))
    kept = _kept(evidence)
    enough = kept >= MIN_KEPT
    return Curve(evidence.edges[enough], kept[enough] / kept[0], fitted.mismatched[enough], fitted.random_alone[enough])


def estimate(pairs: Pairs, fraction: float, seed: int) -> Estimate:
    """The cut for a share `fraction` of mismatched pairs. `pairs`: a random sample of the pairs to cut.

    Equal arguments give equal results.

    Raises:
        CannotTellError: too few pairs, no separation, or no estimate that is certain enough.
    """
    rng = np.random.default_rng(seed)
    evidence, fitted = _fitted(pairs, rng)
    reached = np.flatnonzero((fitted.mismatched <= fraction) & (_kept(evidence) >= MIN_KEPT))
    if len(reached) == 0:
        raise CannotTellError(f"no cut is estimated to keep at most {fraction:.2%} mismatched pairs")
    cut = int(reached[0])
    interval = _interval(evidence, cut, rng)
    if interval[1] > _WIDEST * fraction:
        raise CannotTellError(
            f"with {len(pairs)} pairs the estimate is too uncertain: at the cut for {fraction:.2%}, between "
            f"{interval[0]:.2%} and {interval[1]:.2%} of the kept pairs may be mismatched"
        )
    by_both, by_random = float(fitted.mismatched[cut]), float(fitted.random_alone[cut])
    return Estimate(
        threshold=float(evidence.edges[cut]),
        mismatch_fraction=by_both,
        interval=interval,
        pi0=min(1.0, fitted.share_random + fitted.share_similar),
        share_random=fitted.share_random,
        share_similar=fitted.share_similar,
        random_alone=by_random,
        null="similar" if by_both > by_random else "random",
        pairs=len(pairs),
    )


@dataclass(frozen=True)
class _Binned:
    """The bin of each score, [M], and the image of each score, [M]."""

    bins: npt.NDArray[np.intp]
    images: npt.NDArray[np.int64]

    def counts(self, weights: npt.NDArray[np.float64] | None = None) -> Counts:
        """How many scores are in each bin. Each counts with the weight of its image."""
        of_each = None if weights is None else weights[self.images]
        return np.bincount(self.bins, of_each, minlength=_BINS).astype(np.float64)


@dataclass(frozen=True)
class _Evidence:
    edges: npt.NDArray[np.float64]
    parts: tuple[_Binned, _Binned, _Binned]
    """the pairs themselves, randomly shuffled pairs, and pairs with captions of similar images"""

    def counts(self, weights: npt.NDArray[np.float64] | None = None) -> tuple[Counts, Counts, Counts]:
        pairs, random, similar = (part.counts(weights) for part in self.parts)
        return pairs, random, similar


def _fitted(pairs: Pairs, rng: np.random.Generator) -> tuple[_Evidence, Mixture]:
    if len(pairs) < MIN_PAIRS:
        raise CannotTellError(f"there are {len(pairs)} pairs, but at least {MIN_PAIRS} are needed")
    evidence, floor = _evidence(pairs, rng)
    fitted = mixture.fit(*evidence.counts(), floor)
    _require_matched(fitted, evidence, len(pairs))
    return evidence, fitted


def _kept(evidence: _Evidence) -> npt.NDArray[np.float64]:
    """How many pairs reach each edge, [B + 1]."""
    counts = evidence.counts()[0]
    kept: npt.NDArray[np.float64] = counts.sum() - np.concatenate([[0.0], np.cumsum(counts)])
    return kept


def _evidence(pairs: Pairs, rng: np.random.Generator) -> tuple[_Evidence, int]:
    _, images = np.unique(pairs.images, return_inverse=True)  # numbered from 0, so that the bootstrap can weight them
    pairs = replace(pairs, images=images)
    own = Shuffled(pairs.cosines(), images)
    random = shuffles.dealt_at_random(pairs, rng)
    if len(random.scores) < MIN_PAIRS:
        raise CannotTellError(
            "nearly all pairs have the same image or the same caption, so there is nothing to shuffle"
        )
    lowest = min(own.scores.min(), random.scores.min())
    highest = max(own.scores.max(), random.scores.max())
    edges = np.linspace(lowest, highest, _BINS + 1)
    binned = [_binned(shuffled, edges) for shuffled in (own, random)]
    floor = mixture.floor(*(part.counts() for part in binned))
    if floor is None:
        raise CannotTellError("the pairs do not score clearly higher than pairs with shuffled captions")
    similar = shuffles.dealt_to_nearest(pairs, np.flatnonzero(binned[0].bins >= floor), rng)
    if len(similar.scores) < MIN_MATCHED:
        raise CannotTellError(f"fewer than {MIN_MATCHED} distinct pairs score above pairs with shuffled captions")
    of_similar = _binned(similar, edges)
    hidden = float(np.mean(of_similar.bins >= floor))
    if hidden > _MOST_HIDDEN:
        raise CannotTellError(
            f"{hidden:.0%} of captions of similar images score as high as right captions, so pairs with such captions "
            "cannot be distinguished from matched pairs"
        )
    return _Evidence(edges, (binned[0], binned[1], of_similar)), floor


def _binned(shuffled: Shuffled, edges: npt.NDArray[np.float64]) -> _Binned:
    bins = np.searchsorted(edges, shuffled.scores, side="right") - 1
    return _Binned(bins.clip(0, _BINS - 1), shuffled.images)


def _require_matched(fitted: Mixture, evidence: _Evidence, pairs: int) -> None:
    matched = 1 - fitted.share_random - fitted.share_similar
    if matched * pairs < MIN_MATCHED:
        raise CannotTellError(
            f"only about {max(0, round(matched * pairs))} of {pairs} pairs score higher than with shuffled captions"
        )
    neighbours = len(evidence.parts[2].bins)
    if fitted.share_similar > _FEW_SIMILAR * matched and neighbours < _MIN_NEIGHBOURHOOD:
        raise CannotTellError(
            f"about {fitted.share_similar:.0%} of the pairs seem to have captions of similar images, but only "
            f"{neighbours} pairs that may be right show how such captions score; {_MIN_NEIGHBOURHOOD} are needed"
        )


def _interval(evidence: _Evidence, cut: int, rng: np.random.Generator) -> tuple[float, float]:
    """Bootstrap interval of this cut's estimate. Each replicate draws images, with all their pairs."""
    images = int(evidence.parts[0].images.max()) + 1
    drawn = [_replicate(evidence.counts(rng.poisson(1.0, images).astype(np.float64)), cut) for _ in range(REPLICATES)]
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _replicate(counts: tuple[Counts, Counts, Counts], cut: int) -> float:
    floor = mixture.floor(counts[0], counts[1])
    # A replicate without an estimate counts against the cut.
    return 1.0 if floor is None else float(mixture.fit(*counts, floor).mismatched[cut])
