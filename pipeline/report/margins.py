"""How near pairs are to being kept or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.rule import Rule, combined
from pipeline.filtering.scores import ScoredGroup


@dataclass(frozen=True)
class Near:
    """The pairs of one group."""

    addresses: npt.NDArray[np.uint64]
    """[N], addresses of their rows"""
    margins: npt.NDArray[np.float64]
    """[N], distance of each pair from the cut: 0 or more if it is kept, negative if not; NaN without a cut"""


def to_cut(group: ScoredGroup, cut: MadeCut | None) -> Near:
    """Distances to a single cut, in units of its score."""
    if cut is None:
        return Near(group.addresses, np.full(len(group.scores), np.nan))
    above = group.scores - np.float64(cut.threshold)
    return Near(group.addresses, -above if cut.at_most else above)


def to_rule(rule: Rule, cuts: Sequence[tuple[ScoredGroup, MadeCut | None]]) -> Near:
    """Distances to a rule, of the pairs that have a value for at least one of its cuts.

    `cuts` are in the rule's order. The distance to a cut is the share of all pairs scored between the pair and the
    threshold, so that cuts by different columns can be compared. It is infinite if the pair has no value for the cut.
    For `all`, the smallest distance decides; for `any`, the largest.
    """
    addresses = np.sort(np.concatenate([group.addresses for group, _ in cuts]))
    addresses = addresses[_is_first(addresses)]
    of_cuts = []
    for group, cut in cuts:
        of_cut = np.full(len(addresses), -np.inf)
        if cut is not None:
            of_cut[np.searchsorted(addresses, group.addresses)] = _ranks(group, cut)
        of_cuts.append(of_cut)
    return Near(addresses, combined(rule, of_cuts, np.minimum.reduce, np.maximum.reduce))


def _ranks(group: ScoredGroup, cut: MadeCut) -> npt.NDArray[np.float64]:
    """[M], share of the group's scores between each score and the threshold. A score at the threshold meets the cut."""
    scores, threshold = group.scores, np.float64(cut.threshold)
    if cut.at_most:
        scores, threshold = -scores, -threshold
    order = np.argsort(scores)
    in_order = scores[order]
    # equal scores are equally near: all get the rank of the first
    places = np.maximum.accumulate(np.where(_is_first(in_order), np.arange(len(order)), 0))
    ranks = np.empty(len(order))
    ranks[order] = places - np.searchsorted(in_order, threshold)
    return ranks / max(1, len(order))


def _is_first(in_order: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Marks the first of each run of equal values [N]. The values must be sorted."""
    first = np.ones(len(in_order), bool)
    first[1:] = in_order[1:] != in_order[:-1]
    return first
