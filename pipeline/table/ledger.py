"""The table is its own ledger: it records which rows of which sources are done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.sample import RowRanges, row_ranges
from pipeline.table.store import ROWS_PER_BATCH, Table

_SOURCE_KEY = [schema.SOURCE, schema.SOURCE_VERSION]
_Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LedgerEntry:
    """The rows of one source in the table."""

    versions: frozenset[str]
    """one version, unless two runs read copies of the source at the same time"""
    rows: int
    rows_in_source: int | None

    @property
    def is_complete(self) -> bool:
        return self.rows == self.rows_in_source


def read_ledger(table: Table) -> dict[str, LedgerEntry]:
    """One entry for each source that has a row in the table. Scans the ledger columns."""
    columns = [*_SOURCE_KEY, schema.SOURCE_ROWS]
    partial = [
        _count_runs(batch) for batch in table.scan(columns, where=None, rows_per_batch=ROWS_PER_BATCH) if batch.num_rows
    ]
    if not partial:
        return {}
    totals = pa.concat_tables(partial).group_by(_SOURCE_KEY).aggregate([("rows_sum", "sum"), ("stated_max", "max")])
    entries: dict[str, LedgerEntry] = {}
    for row in totals.to_pylist():
        path = row[schema.SOURCE]
        entry = LedgerEntry(frozenset([row[schema.SOURCE_VERSION]]), row["rows_sum_sum"], row["stated_max_max"])
        entries[path] = entry if path not in entries else _joined(entries[path], entry)
    return entries


def _joined(one: LedgerEntry, other: LedgerEntry) -> LedgerEntry:
    known = [rows for rows in (one.rows_in_source, other.rows_in_source) if rows is not None]
    return LedgerEntry(one.versions | other.versions, one.rows + other.rows, max(known, default=None))


def rows_of_sources(
    table: Table,
    sources: Sequence[str],
    columns: Sequence[str] = (schema.SOURCE, schema.SOURCE_ROW),
    addresses: bool = False,
) -> pa.Table:
    """These columns of every table row of these sources. With `addresses`, also the column `_rowaddr`."""
    batches = table.scan(columns, where=None, addresses=addresses, rows_per_batch=ROWS_PER_BATCH)
    wanted = pa.array(sources, pa.string())
    kept = [_of_sources(batch, wanted) for batch in batches if batch.num_rows]
    fields = [table.schema.field(name) for name in columns]
    return pa.Table.from_batches(kept, pa.schema([*fields, (ROW_ADDRESS, pa.uint64())] if addresses else fields))


def _count_runs(batch: pa.RecordBatch) -> pa.Table:
    """(source, source_version, rows_sum, stated_max) of a batch: one row per source and version."""
    starts = _run_starts(batch, _SOURCE_KEY)
    runs = {
        **{name: batch[name].take(starts) for name in _SOURCE_KEY},
        "rows": np.diff(starts, append=batch.num_rows),
        "stated": _largest(batch[schema.SOURCE_ROWS], starts),
    }
    return pa.table(runs).group_by(_SOURCE_KEY, use_threads=False).aggregate([("rows", "sum"), ("stated", "max")])


def _of_sources(batch: pa.RecordBatch, wanted: pa.Array) -> pa.RecordBatch:
    starts = _run_starts(batch, [schema.SOURCE])
    is_wanted = pc.is_in(batch[schema.SOURCE].take(starts), value_set=wanted).to_numpy(zero_copy_only=False)
    return batch.filter(pa.array(np.repeat(is_wanted, np.diff(starts, append=batch.num_rows))))


def _run_starts(batch: pa.RecordBatch, columns: Sequence[str]) -> _Numbers:
    """Start of each run of neighbouring rows that are equal in these columns.

    Readers write long runs of rows of one source. Comparing neighbours takes a fifth of the time of hashing every text.
    """
    differs = np.zeros(batch.num_rows - 1, bool)
    for name in columns:
        column = batch[name]
        differs |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.flatnonzero(differs) + 1])


def _largest(column: pa.Array, starts: _Numbers) -> pa.Array:
    """The largest value of each run; null if every value of the run is null."""
    largest = np.maximum.reduceat(column.fill_null(-1).to_numpy(), starts)
    return pa.array(largest, mask=largest < 0)


def done_rows(table: Table, sources: Iterable[str], but: Mapping[str, frozenset[int]]) -> dict[str, RowRanges]:
    """The rows of each of these sources that are in the table, as ranges. `but` names rows to leave out."""
    rows = rows_of_sources(table, list(sources))
    grouped = rows.group_by(schema.SOURCE).aggregate([(schema.SOURCE_ROW, "list")])
    found = {row[schema.SOURCE]: row[f"{schema.SOURCE_ROW}_list"] for row in grouped.to_pylist()}
    return {path: row_ranges(row for row in held if row not in but.get(path, ())) for path, held in found.items()}


def rejected_rows(table: Table, reasons: Collection[str]) -> dict[str, frozenset[int]]:
    """The rows that were rejected for one of these reasons, by source. Without reasons: all rejected rows."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    columns = [schema.SOURCE, schema.SOURCE_ROW, schema.REASON]
    for batch in table.scan(columns, f"{schema.STATUS} = '{schema.REJECTED}'", rows_per_batch=ROWS_PER_BATCH):
        for path, row, reason in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if not reasons or reason in reasons:
                found[path].add(row)
    return {path: frozenset(rows) for path, rows in found.items()}


def removed_pairs(table: Table, sources: Sequence[str]) -> dict[str, frozenset[str]]:
    """What identifies the removed pairs of these sources: their uids, and the sha256 of their images."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    columns = [schema.SOURCE, schema.STATUS, schema.UID, schema.IMAGE_SHA256]
    rows = rows_of_sources(table, sources, columns)
    rows = rows.filter(pc.equal(rows[schema.STATUS], schema.REMOVED))
    for path, _, uid, digest in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        found[path].update([uid] if digest is None else [uid, digest])
    return {path: frozenset(names) for path, names in found.items()}
