"""The rows that a cut keeps, as they lie in the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.filtering.scores import ROWS_PER_BATCH, scores_of
from pipeline.filtering.selection import GroupCut, Selection
from pipeline.table import ROW_ADDRESS, Table

_Key = tuple[str, int]


class KeptRows:
    """Iterable once: batches of the columns asked for, and `counts`, how many rows of each group have come."""

    def __init__(self, table: Table, selection: Selection, cuts: Sequence[GroupCut], columns: Sequence[str]) -> None:
        self._table = table
        self._selection = selection
        self._cuts = cuts
        self._columns = list(columns)
        self._values = (
            None
            if selection.per is None
            else pa.array([cut.value for cut in cuts], table.schema.field(selection.per).type)
        )
        self._thresholds = np.array([cut.cut.threshold for cut in cuts], np.float64)
        self._ties_are_cut = np.array([cut.cut.ties_kept is not None for cut in cuts])
        self.counts: npt.NDArray[np.int64] = np.zeros(len(cuts), np.int64)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        read = dict.fromkeys([*self._columns, *self.needed_columns])
        addresses = read.pop(ROW_ADDRESS, "") is None
        for batch in self._table.scan(list(read), self._near_the_cut(), addresses, ROWS_PER_BATCH):
            groups, kept = self.groups_and_mask(batch)
            self.counts += np.bincount(groups[kept], minlength=len(self._cuts))
            yield batch.select(self._columns).filter(pa.array(kept))

    def _near_the_cut(self) -> str:
        """The selection's condition, and SQL that leaves out what is clearly below every cut: it need not be read."""
        lowest = float(self._thresholds.min())
        if not np.isfinite(lowest):
            return f"{self._selection.condition} AND FALSE"
        if not pa.types.is_floating(self._table.schema.field(self._selection.by).type):
            return self._selection.condition
        margin = 1e-3 * max(abs(lowest), 1e-3)  # SQL may compare in another precision
        return f"{self._selection.condition} AND `{self._selection.by}` >= {lowest - margin!r}"

    @property
    def needed_columns(self) -> list[str]:
        """What `groups_and_mask` reads."""
        of_groups = [] if self._selection.per is None else [self._selection.per]
        of_ties = [schema.SOURCE, schema.SOURCE_ROW] if self._ties_are_cut.any() else []
        return [self._selection.by, *of_groups, *of_ties]

    def groups_and_mask(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Of rows that meet the selection's condition: the place of each one's cut and whether it is kept, [N] both."""
        groups, scores = self._groups_and_scores(batch)
        kept: npt.NDArray[np.bool_] = np.isfinite(scores) & (scores >= self._thresholds[groups])
        kept &= groups >= 0
        tied = np.flatnonzero((scores == self._thresholds[groups]) & self._ties_are_cut[groups])
        if len(tied):
            kept[tied] = [key in self._tie_winners for key in _ledger_keys(batch.take(pa.array(tied)))]
        return groups, kept

    def _groups_and_scores(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        scores = scores_of(batch[self._selection.by]).astype(np.float64)
        if self._values is None:
            return np.zeros(len(scores), np.intp), scores
        groups = pc.index_in(batch[self._selection.per], value_set=self._values)
        # A value that came into the table after the cuts were made has none.
        return groups.fill_null(-1).to_numpy().astype(np.intp), scores

    @cached_property
    def _tie_winners(self) -> set[_Key]:
        """(source, source_row) of the rows exactly at a threshold that are kept, where not all such rows are."""
        limits = [cut.cut.ties_kept for cut in self._cuts]
        columns = [schema.UID, schema.SOURCE, schema.SOURCE_ROW, self._selection.by]
        columns += [] if self._selection.per is None else [self._selection.per]
        tied: list[list[tuple[str, _Key]]] = [[] for _ in limits]
        for batch in self._table.scan(list(dict.fromkeys(columns)), self._selection.condition):
            groups, scores = self._groups_and_scores(batch)
            at = np.flatnonzero(scores == self._thresholds[groups])
            rows = batch.take(pa.array(at))
            for group, uid, key in zip(groups[at], rows[schema.UID].to_pylist(), _ledger_keys(rows), strict=True):
                tied[group].append((uid, key))
        return {
            key
            for rivals, limit in zip(tied, limits, strict=True)
            if limit is not None
            for _, key in sorted(rivals)[:limit]
        }


def _ledger_keys(batch: pa.RecordBatch) -> list[_Key]:
    return list(zip(batch[schema.SOURCE].to_pylist(), batch[schema.SOURCE_ROW].to_pylist(), strict=True))
