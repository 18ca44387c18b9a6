"""Certifies a cut: tests candidates from the strictest to the loosest, and stops at the first that fails.

Fixed-sequence testing, as in Learn then Test (arXiv 2110.01052): each cut is tested at the full level. A cut with too
many wrong pairs is certified only if the first such cut in the sequence passes its own test. So the chance of a wrong
certificate is at most 1 - CONFIDENCE, however many cuts there are and whatever the wrong captions are like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.filtering.certified.design import CONFIDENCE, Design, Stratum, candidates
from pipeline.filtering.certified.exact import Seen, chance
from pipeline.filtering.scores import Scores

_WRONG_AT_FIRST = 1
_LABELS_AT_FIRST = 0.35
"""share of the labels of the first stratum: many labels are not judged by the few of them with the highest scores"""
_MARGIN = 1.5
"""standard deviations"""
_MOST_TIMES = 64
"""more labels than this many times those at hand are not suggested"""


@dataclass(frozen=True)
class Labelled:
    """The labels of a sample, [L] each."""

    scores: npt.NDArray[np.float64]
    wrong: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tested:
    """One cut and what labels say about it."""

    threshold: float
    strata: Sequence[Seen]

    @property
    def labelled(self) -> int:
        return sum(stratum.labelled for stratum in self.strata)

    @property
    def wrong(self) -> int:
        return sum(stratum.wrong for stratum in self.strata)

    @property
    def wrong_share(self) -> float:
        """The estimated share of wrong pairs, each label weighted by the pairs it stands for."""
        pairs = sum(stratum.pairs for stratum in self.strata)
        known = [stratum for stratum in self.strata if stratum.labelled]
        return sum(stratum.pairs * stratum.wrong / stratum.labelled for stratum in known) / pairs


@dataclass(frozen=True)
class Outcome:
    certified: Tested | None
    """the loosest certified cut"""
    first: Tested
    """the cut that was tested first"""
    cuts: Sequence[Tested]
    """all candidates"""


def certify(scores: Scores, design: Design, labels: Labelled, fraction: float) -> Outcome:
    """The loosest cut whose fraction of wrong pairs is at most `fraction`, with a confidence of `CONFIDENCE`.

    `scores`: of all pairs, [N]. `labels`: of the sample that was drawn by the design.
    """
    cuts = _counted(scores, design, labels)
    first, *others = _worth_testing(cuts, design, fraction)
    certified = None
    for cut in (first, *others):
        if chance(cut.strata, fraction) > 1 - CONFIDENCE:
            break
        certified = cut
    return Outcome(certified, first, cuts)


def more_labels(outcome: Outcome, design: Design, fraction: float) -> int | None:
    """About how many more labels would certify a cut, if as large a share of them is wrong as of those at hand.

    None if no number of them is likely to.
    """
    times = 1.0
    while times <= _MOST_TIMES:
        larger = Design([replace(each, drawn=min(each.pairs, math.ceil(each.drawn * times))) for each in design.strata])
        first = _worth_testing(outcome.cuts, larger, fraction)[0]
        if chance([_times(seen, times) for seen in first.strata], fraction) <= 1 - CONFIDENCE:
            return larger.drawn - design.drawn
        times *= 1.1
    return None


def _times(stratum: Seen, times: float) -> Seen:
    labelled = min(stratum.pairs, math.ceil(stratum.labelled * times))
    share = stratum.wrong / stratum.labelled if stratum.labelled else 0.0
    return Seen(stratum.pairs, labelled, math.ceil(labelled * share - 1e-9))


def _counted(scores: Scores, design: Design, labels: Labelled) -> list[Tested]:
    rising = np.sort(scores).astype(np.float64)  # once: a search among other numbers converts them each time
    cuts = []
    for threshold in candidates(scores, design.strata):
        strata, above = [], np.inf
        for stratum in design.strata:
            lowest = max(threshold, stratum.lowest)
            pairs = np.searchsorted(rising, above, "left") - np.searchsorted(rising, lowest, "left")
            inside = (labels.scores >= lowest) & (labels.scores < above)
            strata.append(Seen(int(pairs), int(inside.sum()), int(labels.wrong[inside].sum())))
            if threshold >= stratum.lowest:
                break
            above = stratum.lowest
        cuts.append(Tested(float(threshold), strata))
    return cuts


def _worth_testing(cuts: Sequence[Tested], design: Design, fraction: float) -> list[Tested]:
    """The cuts that are likely to have enough labels. A cut with fewer would end the sequence by chance.

    A cut within the first stratum must have a fair share of its labels, and pass even if one of them is wrong. Any
    other cut must pass if none is. The choice depends on the design alone: on how many labels are expected above a
    cut, not on how many there came to be.
    """
    for allowed in (_WRONG_AT_FIRST, 0):
        enough = [cut for cut in cuts if _passes(cut, design, allowed if len(cut.strata) == 1 else 0, fraction)]
        if enough:
            return enough
    return list(cuts[-1:])


def _passes(cut: Tested, design: Design, wrong: int, fraction: float) -> bool:
    """Whether the cut passes with its likely number of labels, `wrong` of them wrong at its lower end."""
    *above, last = [
        Seen(seen.pairs, _likely(seen.pairs, stratum, is_last=stratum == design.strata[-1]), 0)
        for seen, stratum in zip(cut.strata, design.strata, strict=False)
    ]
    too_few = _LABELS_AT_FIRST * design.strata[0].drawn if len(cut.strata) == 1 else 0
    if last.labelled < max(wrong, too_few):
        return False
    return chance([*above, Seen(last.pairs, last.labelled, wrong)], fraction) <= 1 - CONFIDENCE


def _likely(pairs: int, stratum: Stratum, is_last: bool) -> int:
    """How many labels so many pairs of the stratum are likely to have: the mean, or in the last stratum somewhat fewer.

    Above the last stratum, an early start is worth its risk: a later one might find too many wrong pairs at once.
    """
    share = pairs / stratum.pairs
    mean = stratum.drawn * share
    return max(0, math.floor(mean - (_MARGIN if is_last else 0.0) * math.sqrt(mean * (1 - share))))
