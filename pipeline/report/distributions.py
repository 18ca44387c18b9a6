"""Distributions of a table's numeric columns, in two passes over the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.filtering.scores import ROWS_PER_BATCH, scores_of
from pipeline.scoring.signals import signals
from pipeline.table import Table

BINS = 1 << 16
"""fine enough to show the bulk of a column that has a few huge values"""
MOST = 24
"""columns"""

Values = npt.NDArray[np.float64]


@dataclass
class Distribution:
    """The distribution of the finite values of one column, in embedded rows."""

    name: str
    is_whole: bool = False
    """whether the values are integers"""
    values: int = 0
    missing: int = 0
    """rows with null, NaN or infinity"""
    low: float = np.inf
    high: float = -np.inf
    counts: Values = field(default_factory=lambda: np.zeros(BINS))
    """counts in `BINS` equal bins from `low` to `high`"""

    def quantile(self, share: float) -> float:
        """The quantile, exact to the width of a bin."""
        below = np.cumsum(self.counts)
        return float(self._middles()[np.searchsorted(below, share * below[-1])])

    def within(self, edges: Values) -> Values:
        """How many values are between each two edges. Values beyond the outermost edges count in the outermost bins."""
        places = np.searchsorted(edges[1:-1], self._middles(), side="right")
        return np.bincount(places, self.counts, len(edges) - 1).astype(np.float64)

    def look(self, values: Values) -> None:
        """First pass: finds the range."""
        finite = values[np.isfinite(values)]
        self.values += len(finite)
        self.missing += len(values) - len(finite)
        if len(finite):
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))

    def count(self, values: Values) -> None:
        """Second pass: counts the values."""
        self.counts += np.bincount(self._bins(values[np.isfinite(values)]), minlength=BINS)

    def _middles(self) -> Values:
        along = (np.arange(BINS) + 0.5) / BINS
        return self.low * (1 - along) + self.high * along

    def _bins(self, values: Values) -> npt.NDArray[np.intp]:
        # scaled first, because the span of the largest floats overflows
        width = self.high / BINS - self.low / BINS
        places = (values / BINS - self.low / BINS) / (width or 1.0) * BINS
        return places.clip(0, BINS - 1).astype(np.intp)


def columns(table: Table) -> list[str]:
    """The scores, the signals of `siglane score` that are numbers, and every other column of floats."""
    counted = {name for signal in signals().values() for name in signal.FIELDS}
    others = [
        column.name
        for column in table.schema
        if column.name not in schema.SCORES
        and (pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and column.name in counted))
    ]
    return [*schema.SCORES, *others]


def measure(table: Table, names: Sequence[str]) -> list[Distribution]:
    found = [Distribution(name, pa.types.is_integer(table.schema.field(name).type)) for name in names]
    for batch in table.scan(names, rows_per_batch=ROWS_PER_BATCH):
        for distribution in found:
            distribution.look(scores_of(batch[distribution.name]).astype(np.float64))
    for batch in table.scan(names, rows_per_batch=ROWS_PER_BATCH):
        for distribution in found:
            if distribution.values:
                distribution.count(scores_of(batch[distribution.name]).astype(np.float64))
    return found
