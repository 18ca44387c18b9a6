"""The cut that a report shows: an earlier filter's, or the one for a mismatched share of 5 %, if it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.filtering import earlier, sample
from pipeline.filtering.scores import Group, read_groups
from pipeline.filtering.selection import Selection
from pipeline.filters import mismatch, shuffles
from pipeline.filters.cut import Cut, Scores
from pipeline.filters.mismatch import CannotTellError, Curve, Estimate
from pipeline.filters.shuffles import Pairs
from pipeline.table import Table

FRACTION = 0.05
SEED = 0


@dataclass(frozen=True)
class Chosen:
    """Where to cut, of each group of rows."""

    selection: Selection
    groups: Sequence[Group]
    thresholds: Sequence[float | None]
    """of each group; infinity where nothing is kept, None where there is no cut"""
    why_not: str | None = None
    """why there is no cut"""

    @property
    def by(self) -> str:
        """The column that is cut."""
        assert self.selection.by is not None
        return self.selection.by

    @property
    def threshold(self) -> float | None:
        """The only one."""
        return self.thresholds[0] if len(self.thresholds) == 1 else None

    @property
    def scored(self) -> int:
        return sum(len(group.scores) for group in self.groups)

    @property
    def kept(self) -> int:
        return sum(map(kept_of, self.groups, self.thresholds))


@dataclass(frozen=True)
class Evidence:
    """What is estimated of the pairs that the cut is for, from a sample of them."""

    pairs: int
    """in the sample"""
    shuffled: Scores
    """cosines of pairs whose captions were dealt at random"""
    curve: Curve | None = None
    estimate: Estimate | None = None
    """of the cut for `FRACTION`"""
    why_no_curve: str | None = None
    why_no_cut: str | None = None


def evidence(table: Table, selection: Selection) -> Evidence:
    """Of all scored pairs that meet the selection's condition, taken together."""
    (group,) = read_groups(table, schema.COSINE, selection.condition, None)
    pairs = sample.draw(table, group.addresses, SEED)
    try:
        curve = mismatch.curve(pairs, SEED)
    except CannotTellError as error:
        return Evidence(len(pairs), _shuffled(pairs), why_no_curve=str(error), why_no_cut=str(error))
    try:
        return Evidence(len(pairs), _shuffled(pairs), curve, mismatch.estimate(pairs, FRACTION, SEED))
    except CannotTellError as error:
        return Evidence(len(pairs), _shuffled(pairs), curve, why_no_cut=str(error))


def choose(table: Table, selection: Selection, found: Evidence) -> Chosen:
    """The cut by the selection's manifest, else the estimated one.

    Raises:
        UsageError: the manifest is of another model's scores.
        TableError: the table lacks what the earlier filter was by.
    """
    assert selection.by is not None
    groups = read_groups(table, selection.by, selection.condition, selection.per)
    if selection.threshold_from is not None:
        cuts = earlier.thresholds(selection.threshold_from, table, selection.by, selection.per)
        return Chosen(selection, groups, [_of(cuts.get(group.value)) for group in groups])
    if found.estimate is None:
        return Chosen(selection, groups, [None], found.why_no_cut)
    return Chosen(selection, groups, [found.estimate.threshold])


def selection_of(manifest: Path | None) -> Selection:
    """What the earlier filter was by, or the cosine.

    Raises:
        UsageError: no manifest of a filter, or of one by a rule.
    """
    if manifest is None:
        return Selection(schema.COSINE)
    found = earlier.read(manifest)
    if found["by"] is None:
        raise UsageError(
            f"threshold_from {manifest}: was cut by a rule of several, and a report shows one; name the manifest of a "
            "filter by one column"
        )
    return Selection(found["by"], threshold_from=manifest, where=found["where"], per=found["per"])


def kept_of(group: Group, threshold: float | None) -> int:
    return 0 if threshold is None else Cut(threshold).passed(group.scores)


def as_cosine(by: str, threshold: float, table: Table) -> float | None:
    """A cut by cosine, logit or probability as the cosine that it comes to; None where there is none."""
    if by not in schema.SCORES or not np.isfinite(threshold):
        return None
    if by == schema.COSINE:
        return threshold
    if by == schema.PROBABILITY:
        if not 0 < threshold < 1:
            return None
        threshold = float(np.log(threshold) - np.log1p(-threshold))
    return (threshold - table.identity.logit_bias) / table.identity.logit_scale


def _of(cut: Cut | None) -> float | None:
    return None if cut is None else cut.threshold


def _shuffled(pairs: Pairs) -> Scores:
    """The random shuffles that the estimate was made from: by the same seed."""
    if len(pairs) == 0:
        return np.empty(0, np.float32)
    return shuffles.dealt_at_random(pairs, np.random.default_rng(SEED)).scores
