"""One cut of the rule, in all groups: the value that it gives a row, and whether that meets it."""

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
    """Rows come with the place of each one's group, [N]."""

    def __init__(self, rule: CutRule, of_groups: Sequence[MadeCut]) -> None:
        self.rule = rule
        self.of_groups = of_groups
        self._thresholds = np.array([made.threshold for made in of_groups], np.float64)
        self._ties_are_cut = np.array([made.ties_kept is not None for made in of_groups])

    @property
    def has_ties(self) -> bool:
        """Whether of rows exactly at a threshold some are kept, some not."""
        return bool(self._ties_are_cut.any())

    def values(self, batch: pa.RecordBatch, groups: Places) -> Values:
        """[N], not finite where a row lacks what is ranked."""
        if isinstance(self.rule.score, str):
            return scores_of(batch[self.rule.score]).astype(np.float64)
        columns = {name: scores_of(batch[name]) for name in self.rule.columns}
        scales = {name: (low[groups], high[groups]) for name, (low, high) in self._scales.items()}
        return weighted_sum(self.rule.score, columns, scales)

    def reaches(self, values: Values, groups: Places) -> Mask:
        """[N], true too for what ties at a threshold."""
        thresholds = self._by_row(self._thresholds, groups)
        return np.isfinite(values) & (values <= thresholds if self._at_most else values >= thresholds)

    def ties(self, values: Values, groups: Places) -> Places:
        """Of rows at a threshold of which not all are kept, the places, [T]."""
        if not self.has_ties:
            return np.empty(0, np.intp)
        at = values == self._by_row(self._thresholds, groups)
        return np.flatnonzero(at & self._by_row(self._ties_are_cut, groups))

    def near_a_tie(self, table: pa.Schema) -> str | None:
        """SQL that leaves out what is clearly no tie at any threshold; None where SQL cannot say it."""
        by, thresholds = self._floats(table), self._thresholds[self._ties_are_cut]
        if by is None:
            return None
        return f"{_at_least(by, float(thresholds.min()))} AND {_at_most(by, float(thresholds.max()))}"

    def _floats(self, table: pa.Schema) -> str | None:
        """The column that is compared, where SQL can do so: of floats of 32 or 64 bits."""
        by = self.rule.by
        if by is None:
            return None
        kind = table.field(by).type
        return by if pa.types.is_float32(kind) or pa.types.is_float64(kind) else None

    def _by_row(self, of_groups: npt.NDArray[Any], groups: Places) -> npt.NDArray[Any]:
        """[N], or [1] where there is one group."""
        return of_groups if len(of_groups) == 1 else of_groups[groups]

    @property
    def _at_most(self) -> bool:
        return self.of_groups[0].at_most

    @cached_property
    def _scales(self) -> dict[str, tuple[Values, Values]]:
        """The least and the greatest value of each column, by group, [G] both; NaN where a group has none."""
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
    """SQL may compare in float32, whose steps are 1.2e-7 of a number."""
    return 1e-6 * max(abs(value), 1e-3)
