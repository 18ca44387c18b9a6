"""`--max-mismatch-fraction R`: keep as many pairs as possible while an estimated share of at most R is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from pipeline.errors import EstimateError, TableError
from pipeline.filtering.certified.cut import certified
from pipeline.filtering.cuts import Context, Maker, require_higher_is_better
from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.scores import ScoredGroup, in_units_of
from pipeline.mismatch import draw
from pipeline.mismatch.estimate import MIN_PAIRS, CannotTellError, Estimate, estimate

VALUE = Annotated[float, Field(gt=0, lt=1)]
HELP = "keep as many pairs as possible while at most this share is estimated to be mismatched"
FOR_SUMS = False  # scores of mismatched pairs are known only for scores that decoys can have too
NEEDS_ADDRESSES = True  # captions of a sample of the pairs are dealt


def cut(fraction: float, context: Context) -> Maker:
    return partial(_estimated if context.labels is None else _certified, fraction, context)


def _certified(fraction: float, context: Context, groups: Sequence[ScoredGroup]) -> list[MadeCut]:
    """The cut that labels certify. There is one group, and one column: the options allow no other.

    Raises:
        UsageError: the labels are not labels of these pairs.
        EstimateError: they do not certify a cut.
    """
    require_higher_is_better(context.table, context.by)
    (group,) = groups
    assert context.labels is not None
    assert context.by is not None
    found = certified(context.table, context.by, context.where, group, context.labels, context.unsure, fraction)
    return [MadeCut(found.threshold, certificate=found)]


def _estimated(fraction: float, context: Context, groups: Sequence[ScoredGroup]) -> list[MadeCut]:
    """Estimates the cut of each group. Groups with too few pairs have one cut together.

    Raises:
        TableError: the column is not a score that decoys can have.
        EstimateError: the mismatch fraction cannot be estimated, for all pairs or for some group.
    """
    table, by = context.table, context.by
    if by not in draw.SCORES:
        raise TableError(
            f"column {by!r}: it cannot be computed for captions of other images, as --max-mismatch-fraction needs; "
            f"give --by {', '.join(draw.SCORES[:-1])} or {draw.SCORES[-1]}, or label pairs and give --labels"
        )
    estimates, failures = dict[int, Estimate](), list[str]()
    for places in _pooled(groups):
        addresses = np.concatenate([groups[place].addresses for place in places])
        try:
            found = estimate(draw.draw(table, addresses, context.seed, by), fraction, context.seed, context.assumes)
        except CannotTellError as error:
            failures.append(f"the mismatch fraction{_of(context, groups, places)} cannot be estimated: {error}")
        else:
            estimates |= dict.fromkeys(places, replace(found, groups=len(places)))
    if failures:
        advice = "label pairs (siglane label) and give --labels, or choose a cut with --top-fraction or --min"
        advice += "" if context.per is None else ", or exclude such rows with --where"
        raise EstimateError(f"table {table.uri}: {'; '.join(failures)}; nothing was written; {advice}")
    found_cuts = [estimates[place] for place in range(len(groups))]
    thresholds = [in_units_of(by, np.array([found.threshold]), table.identity)[0] for found in found_cuts]
    return [MadeCut(float(at), estimate=found) for at, found in zip(thresholds, found_cuts, strict=True)]


def _pooled(groups: Sequence[ScoredGroup]) -> Iterator[list[int]]:
    """The groups to estimate together: those with too few pairs, each other one by itself."""
    few = [place for place, group in enumerate(groups) if len(group.scores) < MIN_PAIRS]
    if few:
        yield few
    yield from ([place] for place in range(len(groups)) if place not in few)


def _of(context: Context, groups: Sequence[ScoredGroup], places: Sequence[int]) -> str:
    of = f" of {context.path}" if context.path else ""
    if context.per is None:
        return of
    names = ", ".join(repr(groups[place].value) for place in places[:3])
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return f"{of} of the pairs with {context.per} {names}{more}"
