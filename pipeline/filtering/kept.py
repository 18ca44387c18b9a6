"""The rows that a cut keeps, as they lie in the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.filtering.scores import scores_of
from pipeline.filtering.selection import GroupCut, Selection
from pipeline.table import Table

_Key = tuple[str, int]


class KeptRows:
    """Iterable once: batches of the columns asked for, and `counts`, how many rows of each group have come."""

    def __init__(self, table: Table, selection: Selection, cuts: Sequence[GroupCut], columns: Sequence[str]) -> None:
        self._table = table
        self._selection = selection
        self._cuts = cuts
        self._columns = list(columns)
        self._values = pa.array([cut.value for cut in cuts]) if selection.per is not None else None
        self._thresholds = np.array([cut.cut.threshold for cut in cuts], np.float64)
        self.counts: npt.NDArray[np.int64] = np.zeros(len(cuts), np.int64)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        winners = self._tie_winners()
        ties_are_cut = np.array([cut.cut.ties_kept is not None for cut in self._cuts])
        needed = [self._selection.by, *([] if self._selection.per is None else [self._selection.per])]
        needed += [schema.SOURCE, schema.SOURCE_ROW] if ties_are_cut.any() else []
        read = list(dict.fromkeys([*self._columns, *needed]))
        for batch in self._table.scan(read, self._selection.condition):
            groups, scores = self._groups_and_scores(batch)
            kept = scores >= self._thresholds[groups]  # false where the score is NaN
            tied = np.flatnonzero((scores == self._thresholds[groups]) & ties_are_cut[groups])
            kept[tied] = [key in winners for key in _ledger_keys(batch.take(pa.array(tied)))] if len(tied) else []
            self.counts += np.bincount(groups[kept], minlength=len(self._cuts))
            yield batch.select(self._columns).filter(pa.array(kept))

    def _groups_and_scores(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        scores = scores_of(batch[self._selection.by]).astype(np.float64)
        if self._values is None:
            return np.zeros(len(scores), np.intp), scores
        groups = pc.index_in(batch[self._selection.per], value_set=self._values)
        return groups.to_numpy().astype(np.intp), scores

    def _tie_winners(self) -> set[_Key]:
        """(source, source_row) of the rows exactly at a threshold that are kept, where not all such rows are."""
        limits = [cut.cut.ties_kept for cut in self._cuts]
        if all(limit is None for limit in limits):
            return set()
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
