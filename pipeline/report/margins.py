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
    """[N], of their rows"""
    margins: npt.NDArray[np.float64]
    """[N], how far each is from the cut: not below 0 where it is kept, NaN where there is no cut"""


def to_cut(group: ScoredGroup, cut: MadeCut | None) -> Near:
    """To the only cut, in units of what it ranks."""
    if cut is None:
        return Near(group.addresses, np.full(len(group.scores), np.nan))
    above = group.scores - np.float64(cut.threshold)
    return Near(group.addresses, -above if cut.at_most else above)


def to_rule(rule: Rule, cuts: Sequence[tuple[ScoredGroup, MadeCut | None]]) -> Near:
    """To a rule, of the pairs that have what one of its cuts ranks; `cuts` are in the order of the rule's.

    To a cut a pair is as near as the share of pairs that lie between, so that cuts by different columns compare, and
    infinitely far where it lacks what is ranked. Of `all` the least margin decides, of `any` the greatest.
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
    """[M], of the group's scores: the share of them between each and the threshold, which itself meets the cut."""
    scores, threshold = group.scores, np.float64(cut.threshold)
    if cut.at_most:
        scores, threshold = -scores, -threshold
    order = np.argsort(scores)
    in_order = scores[order]
    # equal scores are equally near: all have the place of the first
    places = np.maximum.accumulate(np.where(_is_first(in_order), np.arange(len(order)), 0))
    ranks = np.empty(len(order))
    ranks[order] = places - np.searchsorted(in_order, threshold)
    return ranks / max(1, len(order))


def _is_first(in_order: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Of equal values [N], which lie together, the first."""
    first = np.ones(len(in_order), bool)
    first[1:] = in_order[1:] != in_order[:-1]
    return first
