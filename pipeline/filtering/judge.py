"""Applies one cut of the rule, in all groups: the value of each row, and whether it meets the cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.filtering.made_cut import MadeCut
from pipeline.filtering.rule import CutRule
from pipeline.filtering.scores import scores_of, weighted_sum

Places = npt.NDArray[np.intp]
Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Judge:
    """Judges rows by one cut. Every call also takes `groups`, [N]: the index of each row's group."""

    def __init__(self, rule: CutRule, of_groups: Sequence[MadeCut]) -> None:
        self.rule = rule
        self.of_groups = of_groups
        self._thresholds = np.array([made.threshold for made in of_groups], np.float64)
        self._ties_are_cut = np.array([made.ties_kept is not None for made in of_groups])

    @property
    def has_ties(self) -> bool:
        """Whether some rows exactly at a threshold are kept and others are not."""
        return bool(self._ties_are_cut.any())

    def values(self, batch: pa.RecordBatch, groups: Places) -> Values:
        """The values to compare, [N]; not finite if a row lacks a needed column."""
        if isinstance(self.rule.score, str):
            return scores_of(batch[self.rule.score]).astype(np.float64)
        columns = {name: scores_of(batch[name]) for name in self.rule.columns}
        scales = {name: (low[groups], high[groups]) for name, (low, high) in self._scales.items()}
        return weighted_sum(self.rule.score, columns, scales)

    def reaches(self, values: Values, groups: Places) -> Mask:
        """Whether each value meets the cut, [N]. Also true for values exactly at a threshold."""
        thresholds = self._by_row(self._thresholds, groups)
        return np.isfinite(values) & (values <= thresholds if self._at_most else values >= thresholds)

    def ties(self, values: Values, groups: Places) -> Places:
        """Indices, [T], of rows exactly at a threshold, in groups where only some such rows are kept."""
        if not self.has_ties:
            return np.empty(0, np.intp)
        at = values == self._by_row(self._thresholds, groups)
        return np.flatnonzero(at & self._by_row(self._ties_are_cut, groups))

    def near_a_tie(self, table: pa.Schema) -> str | None:
        """SQL that excludes rows far from every threshold with ties; None if SQL cannot express it."""
        by, thresholds = self._floats(table), self._thresholds[self._ties_are_cut]
        if by is None:
            return None
        return f"{_at_least(by, float(thresholds.min()))} AND {_at_most(by, float(thresholds.max()))}"

    def _floats(self, table: pa.Schema) -> str | None:
        """The compared column, if SQL can compare it: float32 or float64. Otherwise None."""
        by = self.rule.by
        if by is None:
            return None
        kind = table.field(by).type
        return by if pa.types.is_float32(kind) or pa.types.is_float64(kind) else None

    def _by_row(self, of_groups: npt.NDArray[Any], groups: Places) -> npt.NDArray[Any]:
        """[N], or [1] if there is only one group."""
        return of_groups if len(of_groups) == 1 else of_groups[groups]

    @property
    def _at_most(self) -> bool:
        return self.of_groups[0].at_most

    @cached_property
    def _scales(self) -> dict[str, tuple[Values, Values]]:
        """Smallest and largest value of each column by group, both [G]; NaN if a group has no value."""
        bounds = [made.scales or {} for made in self.of_groups]
        nothing = (np.nan, np.nan)
        return {
            name: (
                np.array([scales.get(name, nothing)[0] for scales in bounds]),
                np.array([scales.get(name, nothing)[1] for scales in bounds]),
            )
            for name in self.rule.columns
        }


def _at_least(column: str, value: float) -> str:
    return f"`{column}` >= {value - _margin(value)!r}"


def _at_most(column: str, value: float) -> str:
    return f"`{column}` <= {value + _margin(value)!r}"


def _margin(value: float) -> float:
    """A margin for SQL, which may compare in float32; a float32 step is 1.2e-7 of a number."""
    return 1e-6 * max(abs(value), 1e-3)
