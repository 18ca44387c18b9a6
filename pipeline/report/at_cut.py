"""What the curves say of the pairs that the cut keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline import schema
from pipeline.mismatch.estimate import Assumption
from pipeline.report.chosen_cut import Chosen, Evidence
from pipeline.schema import Identity


@dataclass(frozen=True)
class AtCut:
    assumes: Assumption
    """of the filter that made the cut"""
    threshold: float
    """of the curves: the one at the cut or just below it"""
    kept: float
    """share of the pairs that reach it"""
    mismatched: Mapping[Assumption, float]
    """share of these, by assumption; with `any`, the most that the scores allow"""

    @property
    def mismatch_fraction(self) -> float:
        """The share under the assumption of the filter."""
        return self.mismatched[self.assumes]


def at_cut(chosen: Chosen, found: Evidence, identity: Identity) -> AtCut | None:
    """None if there is no single cut on the curves."""
    curve = found.curves
    if curve is None or chosen.threshold is None or len(curve.thresholds) == 0:
        return None
    if chosen.only is not None and chosen.only.at_most:
        return None
    threshold = in_units_of_curve(chosen.by, chosen.threshold, found.by, identity)
    if threshold is None or threshold > curve.thresholds[-1]:
        return None
    # the edge at the cut or just below it: it keeps at least as many pairs, so the estimate is on the safe side
    place = max(0, int(np.searchsorted(curve.thresholds, threshold + 1e-9, side="right")) - 1)
    return AtCut(
        chosen.selection.wrong_captions,
        float(curve.thresholds[place]),
        float(curve.kept[place]),
        {assumption: float(shares[place]) for assumption, shares in curve.mismatched.items()},
    )


def in_units_of_curve(by: str, threshold: float, of_curve: str, identity: Identity) -> float | None:
    """A threshold by one score as one by the curves' score; None if there is none.

    Logits and probabilities have cosines that rank pairs alike.
    """
    if not np.isfinite(threshold):
        return None
    if by == of_curve:
        return threshold
    if of_curve != schema.COSINE or by not in schema.SCORES:
        return None
    if by == schema.PROBABILITY:
        if not 0 < threshold < 1:
            return None
        threshold = float(np.log(threshold) - np.log1p(-threshold))
    return (threshold - identity.logit_bias) / identity.logit_scale
