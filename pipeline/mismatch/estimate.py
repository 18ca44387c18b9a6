"""The share of mismatched pairs among those that reach a cut, and the cut for a share, without labels.

What the scores say depends on how wrong captions come about, which no score shows. So it is an assumption with a name:

- `random`: they are captions of any other images, as where the rows of a web crawl are shifted;
- `similar`: they are captions of similar images;
- `any`: both, as many of the second as the scores allow. This gives a bound, not an estimate.

Captions that are nearly right score like right captions. No score shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pipeline.mismatch import decoys, floor
from pipeline.mismatch.decoys import Decoys
from pipeline.mismatch.histograms import Evidence, at_least
from pipeline.mismatch.interval import interval
from pipeline.mismatch.pairs import Pairs
from pipeline.mismatch.random_captions import fractions
from pipeline.mismatch.similar_captions import STANDARD_ERRORS, SimilarCaptions, largest, spread_of_share

Assumption = Literal["random", "similar", "any"]
ASSUMPTIONS: tuple[Assumption, ...] = get_args(Assumption)

CONTRADICTIONS: Mapping[Assumption, str] = {
    "random": "the scores contradict that wrong captions are random: many pairs score lower than matched ones, but not "
    "where random captions do; give --wrong-captions any, or label pairs with siglane label",
    "similar": "the scores contradict that wrong captions are those of similar images: many pairs score where random "
    "captions do; give --wrong-captions any, or label pairs with siglane label",
}

MIN_PAIRS = 300
MIN_MATCHED = 100
MIN_KEPT = 50

FEW_CAPTIONS = 100
"""fewer distinct captions are named: they are probably names of classes"""
_ONE_VALUE = 0.99
_ONE_SIDED = 1.645
"""standard errors that a normal estimate exceeds in 5 % of cases"""
# The lower part of the scores contradicts random captions if at least this share of all pairs, and more than sampling
# explains, lies below the matched pairs without being random.
_CONTRADICTION, _ERRORS = 0.03, 3.0

Shares = npt.NDArray[np.float64]


class CannotTellError(Exception):
    """The scores do not support an estimate. The message gives the reason, as the end of a sentence."""


@dataclass(frozen=True)
class Estimate:
    threshold: float
    """lowest score to keep"""
    mismatch_fraction: float
    """share of mismatched pairs among those that reach the threshold, under the assumption; with `any`, its bound"""
    interval: tuple[float, float]
    """holds the true share with 95 % confidence, under the assumption"""
    assumes: Assumption
    mismatch_upper_any: float
    """the largest share of mismatched pairs that the scores allow, if some wrong captions are of similar images"""
    contradicted: float | None
    """share of all pairs whose scores contradict the assumption (`Examined.contradicted`); None: hardly any"""
    pi0: float
    """share of mismatched pairs among all pairs, under the assumption"""
    share_random: float
    share_similar: float
    """the largest share of captions of similar images, of all pairs, that the scores allow"""
    generic_captions: float
    """share of captions that score nearly as high with any image as right captions do with theirs"""
    distinct_captions: int
    pairs: int
    """number of pairs behind the estimate"""
    groups: int = 1
    """number of groups that these pairs are from: groups with too few pairs have one estimate together"""


@dataclass(frozen=True)
class Curves:
    """The estimate for every cut, [C] each, from the lowest score to the highest that keeps enough pairs."""

    thresholds: Shares
    kept: Shares
    """share of all pairs that reach the threshold"""
    mismatched: Mapping[Assumption, Shares]
    """share of the kept pairs, by assumption"""


def examine(pairs: Pairs, seed: int) -> Examined:
    """Deals captions to other images and compares the scores: for curves and cuts of the same pairs.

    Args:
        pairs: a random sample of the pairs to cut.

    Equal arguments give equal results.

    Raises:
        CannotTellError: too few pairs, or no separation.
    """
    return Examined(pairs, np.random.default_rng(seed))


def curves(pairs: Pairs, seed: int, assumptions: Sequence[Assumption] = ASSUMPTIONS) -> Curves:
    """`examine` for the curves alone."""
    return examine(pairs, seed).curves(assumptions)


def estimate(pairs: Pairs, fraction: float, seed: int, assumes: Assumption = "random") -> Estimate:
    """`examine` for one cut alone.

    Raises:
        CannotTellError: too few pairs, no separation, or no cut with such a share.
    """
    return examine(pairs, seed).estimate(fraction, assumes)


class Examined:
    """All that the scores of a sample say. `examine` makes it."""

    # Shares are of edges of bins, [B + 1].

    def __init__(self, pairs: Pairs, rng: np.random.Generator) -> None:
        self._pairs = pairs
        _require_scores(pairs)
        self._dealt = dealt = decoys.dealt_at_random(pairs, rng)
        if len(dealt) < MIN_PAIRS:
            raise CannotTellError(
                "nearly all pairs have the same image or the same caption, so there is nothing to deal to others"
            )
        self._rng_of_near, self._rng_of_intervals = rng.spawn(2)
        self._evidence = Evidence(pairs, dealt)
        self._counted = self._evidence.histograms()
        self._random = fractions(self._counted)
        matched = max(0.0, 1 - self._random.share) * len(pairs)
        if matched < MIN_MATCHED:
            raise CannotTellError(
                f"only about {round(matched)} of {len(pairs)} pairs score higher than captions of other images do"
            )

    def curves(self, assumptions: Sequence[Assumption] = ASSUMPTIONS) -> Curves:
        """The estimate for every cut under these assumptions."""
        kept = self._counted.kept
        enough = kept >= MIN_KEPT
        shares = {assumption: self._mismatched(assumption)[enough].clip(0, 1) for assumption in assumptions}
        return Curves(self._evidence.edges[enough], kept[enough] / kept[0], shares)

    def estimate(self, fraction: float, assumes: Assumption = "random") -> Estimate:
        """The cut that keeps as many pairs as it can, of which a share of at most `fraction` is mismatched.

        Raises:
            CannotTellError: there is no such cut.
        """
        return self._at(fraction, self._cut(fraction, assumes), assumes)

    def contradicted(self, assumes: Assumption) -> float | None:
        """The share of all pairs whose scores contradict the assumption; None if hardly any does.

        If wrong captions are random: pairs that score lower than matched ones, but not where random captions do. If
        they are those of similar images: pairs that score where random captions do.
        """
        match assumes:
            case "random":
                return self._below_floor
            case "similar":
                share, size = min(1.0, self._random.share), self._evidence.size
                return share if share > max(_CONTRADICTION, _ERRORS * spread_of_share(share, size)) else None
            case "any":
                return None

    @cached_property
    def _below_floor(self) -> float | None:
        """By the cosine: normalised scores of matched pairs are not symmetric, so that they show no floor."""
        counted, found = self._counted, self._random
        if self._pairs.score is not None:
            plain = replace(self._pairs, score=None)
            images, captions = self._dealt.images, self._dealt.captions
            counted = Evidence(plain, Decoys(plain.cosines(images, captions), images, captions)).histograms()
            found = fractions(counted)
        pairs, random = counted.pairs.sum(axis=0), counted.random.sum(axis=0)
        lowest = floor.matched(pairs, random)
        if lowest is None:
            return None
        low, low_decoys = (1 - at_least(counts)[lowest] / counts.sum() for counts in (pairs, random))
        share, size = min(1.0, found.share), self._evidence.size
        more = low - share * low_decoys
        spread = np.hypot(np.sqrt(low / size), low_decoys * spread_of_share(share, size))
        return float(more) if more > max(_CONTRADICTION, _ERRORS * spread) else None

    def _cut(self, fraction: float, assumes: Assumption) -> int:
        """The lowest edge with at most this share."""
        shares, enough = self._mismatched(assumes), self._counted.kept >= MIN_KEPT
        reached = np.flatnonzero((shares <= fraction) & enough)
        if len(reached):
            return int(reached[0])
        if assumes != "random" and self._evidence.size < MIN_PAIRS:
            raise CannotTellError(
                f"the pairs are of about {self._evidence.size:.0f} distinct images, and at least {MIN_PAIRS} are "
                "needed to tell how captions of similar images score"
            )
        if assumes == "any":
            raise CannotTellError(
                "captions of similar images score so much like right ones that even of the pairs that the best cut "
                f"keeps, {shares[enough].min():.2%} could be mismatched"
            )
        raise CannotTellError(f"no cut is estimated to keep at most {fraction:.2%} mismatched pairs")

    def _at(self, asked: float, cut: int, assumes: Assumption) -> Estimate:
        upper = float(min(1.0, self._upper[cut]))
        said = float(min(1.0, self._mismatched(assumes)[cut]))
        match assumes:
            case "random":
                # a copy, so that equal calls give equal intervals
                rng = deepcopy(self._rng_of_intervals)
                held = interval(self._evidence, self._random, asked, cut, MIN_KEPT, rng)
                pi0 = self._random.share
            case "similar":
                most = float(self._of_similar(self._only_similar(STANDARD_ERRORS))[cut])
                held = (0.0, max(said, min(1.0, most)))
                pi0 = self._only_similar().share
            case "any":
                held = (0.0, upper)
                pi0 = self._random.share + self._similar.share
        return Estimate(
            threshold=float(self._evidence.edges[cut]),
            mismatch_fraction=said,
            interval=held,
            assumes=assumes,
            mismatch_upper_any=upper,
            contradicted=self.contradicted(assumes),
            pi0=min(1.0, pi0),
            share_random=min(1.0, self._random.share),
            share_similar=self._similar.share,
            generic_captions=self._generic_captions(),
            distinct_captions=len(np.unique(self._pairs.captions)),
            pairs=len(self._pairs),
        )

    def _mismatched(self, assumes: Assumption) -> Shares:
        """The share of the pairs that reach each edge."""
        match assumes:
            case "random":
                return self._random.mismatched
            case "similar":
                return self._of_similar(self._only_similar())
            case "any":
                return self._upper

    @cached_property
    def _near(self) -> list[decoys.NearDecoys]:
        """They take most of the time, and random captions do not need them."""
        return [decoys.dealt_to_near(self._pairs, neighbours, self._rng_of_near) for neighbours in decoys.NEIGHBOURS]

    @cached_property
    def _similar(self) -> SimilarCaptions:
        if self._evidence.size < MIN_PAIRS:  # too few distinct images: nothing bounds the share
            share = max(0.0, 1 - self._random.share)
            return SimilarCaptions(share, np.full_like(self._counted.kept, share))
        return largest(self._evidence, self._near, self._random, self._floor)

    @cached_property
    def _floor(self) -> int | None:
        """The edge below which there are hardly any matched pairs; None if it is unknown."""
        if self._pairs.score is not None:
            return None
        return floor.matched(self._counted.pairs.sum(axis=0), self._counted.random.sum(axis=0))

    def _only_similar(self, errors: float = 1.0) -> SimilarCaptions:
        return largest(self._evidence, self._near, None, self._floor, errors)

    @cached_property
    def _upper(self) -> Shares:
        """Random captions at the upper end of their estimate, and as many of similar images as the scores allow."""
        kept, random = np.maximum(self._counted.kept, 1), self._random
        size = self._evidence.size / kept[0] * kept  # of the kept pairs
        of_share = random.mismatched * spread_of_share(random.share, self._evidence.size) / max(random.share, 1e-9)
        spread = np.sqrt(random.mismatched / size + np.square(of_share))
        upper: Shares = random.mismatched + _ONE_SIDED * spread + self._of_similar(self._similar)
        return upper

    def _of_similar(self, similar: SimilarCaptions) -> Shares:
        kept = self._counted.kept
        shares: Shares = similar.reaching * kept[0] / np.maximum(kept, 1)
        return shares

    def _generic_captions(self) -> float:
        """Those whose mean cosine with all images is nearer to matched pairs' cosines than to other captions' means."""
        matched = (1 - min(1.0, self._random.share)) / 2
        right = np.quantile(self._pairs.cosines(), 1 - matched)
        means = self._pairs.genericity
        return float(np.mean(means > (np.mean(means) + right) / 2))


def _require_scores(pairs: Pairs) -> None:
    if len(pairs) < MIN_PAIRS:
        raise CannotTellError(f"there are {len(pairs)} pairs, but at least {MIN_PAIRS} are needed")
    if pairs.score is not None and pairs.score.why_not is not None:
        raise CannotTellError(pairs.score.why_not)
    values, counts = np.unique(pairs.own, return_counts=True)
    if counts.max() > _ONE_VALUE * len(pairs):
        raise CannotTellError(
            f"{counts.max() / len(pairs):.1%} of the pairs have the same score, {values[counts.argmax()]:.6g}"
        )
