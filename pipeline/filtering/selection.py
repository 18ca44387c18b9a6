"""Which pairs to keep: what the user asks for, and the cut that it comes to, for each group of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import schema
from pipeline.errors import EstimateError, TableError
from pipeline.filtering import earlier, sample
from pipeline.filtering.scores import Group, read_groups
from pipeline.filters import mismatch, top_fraction
from pipeline.filters.cut import Cut
from pipeline.filters.mismatch import CannotTellError, Estimate
from pipeline.schema import Identity
from pipeline.table import EMBEDDED, Table
from siglip_core import similarity


@dataclass(frozen=True)
class Selection:
    """Which pairs to keep. Exactly one of the four cuts is given."""

    by: str
    """the score's column"""
    minimum: float | None = None
    top_fraction: float | None = None
    max_mismatch_fraction: float | None = None
    threshold_from: Path | None = None
    """manifest of an earlier filter, whose thresholds to use"""
    where: str | None = None
    """SQL over the table's columns; other rows are left out before anything is ranked"""
    per: str | None = None
    """column for each value of which there is a cut of its own"""
    seed: int = 0
    """of the samples and shuffles of `max_mismatch_fraction`"""

    @property
    def condition(self) -> str:
        return f"{EMBEDDED} AND ({self.where})" if self.where else EMBEDDED


@dataclass(frozen=True)
class GroupCut:
    """The cut for the rows of one group: those with this value in the column `per`, or all."""

    value: Any
    rows: int
    """embedded pairs that meet the selection's condition"""
    scored: int
    cut: Cut
    estimate: Estimate | None = None


def cuts(table: Table, selection: Selection) -> list[GroupCut]:
    """The cut of each group, in the order of their values.

    Raises:
        TableError: no pair is scored, a column is not there or of a kind that cannot be used, or `where` is no SQL.
        EstimateError: a mismatch fraction was asked for and cannot be estimated, of all or of one group.
        UsageError: the manifest named does not fit the table or the selection.
    """
    groups = read_groups(table, selection.by, selection.condition, selection.per)
    rows = sum(group.rows for group in groups)
    if not any(len(group.scores) for group in groups):
        advice = f"; run `siglane score --table {table.uri}` first" if selection.by in schema.SCORES else ""
        raise TableError(f"table {table.uri}: none of the {rows} rows has a {selection.by}{advice}")
    if selection.threshold_from is not None:
        found = earlier.thresholds(selection.threshold_from, table, selection.by, selection.per)
        return [_cut_as(group, earlier.threshold_of(found, group.value, selection.per)) for group in groups]
    if selection.max_mismatch_fraction is not None:
        return _estimated(table, selection, groups)
    return [_cut_as(group, _fixed(selection, group)) for group in groups]


def _cut_as(group: Group, cut: Cut, estimate: Estimate | None = None) -> GroupCut:
    return GroupCut(group.value, group.rows, len(group.scores), cut, estimate)


def _fixed(selection: Selection, group: Group) -> Cut:
    if selection.minimum is not None:
        return Cut(selection.minimum)
    assert selection.top_fraction is not None
    return top_fraction.cut(group.scores, selection.top_fraction)


def _estimated(table: Table, selection: Selection, groups: Sequence[Group]) -> list[GroupCut]:
    assert selection.max_mismatch_fraction is not None
    if selection.by not in schema.SCORES:
        raise TableError(
            f"column {selection.by!r} is no score of shuffled pairs; --max-mismatch-fraction needs --by "
            f"{', '.join(schema.SCORES[:-1])} or {schema.SCORES[-1]}"
        )
    found, failures = list[GroupCut](), list[str]()
    for group in groups:
        pairs = sample.draw(table, group.addresses, selection.seed)
        try:
            estimate = mismatch.estimate(pairs, selection.max_mismatch_fraction, selection.seed)
        except CannotTellError as error:
            of = "" if selection.per is None else f" of the pairs with {selection.per} {group.value!r}"
            failures.append(f"the mismatch fraction{of} cannot be estimated: {error}")
        else:
            cut = Cut(_in_units_of(selection.by, estimate.threshold, table.identity))
            found.append(_cut_as(group, cut, estimate))
    if failures:
        mend = "choose a cut by --top-fraction or --min"
        mend += "" if selection.per is None else ", or leave such rows out with --where"
        raise EstimateError(f"table {table.uri}: {'; '.join(failures)}; nothing is written; {mend}")
    return found


def _in_units_of(by: str, cosine: float, identity: Identity) -> float:
    """A cosine as the score `by`. All three rank pairs alike."""
    if by == schema.COSINE:
        return cosine
    logit = similarity.logit(np.array([cosine]), identity.logit_scale, identity.logit_bias)
    return float(logit[0] if by == schema.LOGIT else similarity.probability(logit)[0])
