"""The table as its own ledger: which rows of which sources it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.sample import RowRanges, row_ranges
from pipeline.table.store import Table

ROWS_PER_BATCH = 65_536


@dataclass(frozen=True)
class LedgerEntry:
    """What the table holds of one source."""

    version: str
    rows: int
    rows_in_source: int | None

    @property
    def is_complete(self) -> bool:
        return self.rows == self.rows_in_source


def read_ledger(table: Table) -> dict[str, LedgerEntry]:
    """One entry for each source that has a row in the table, from a scan of its ledger columns."""
    columns = [schema.SOURCE, schema.SOURCE_VERSION, schema.SOURCE_ROWS]
    partial = [
        pa.Table.from_batches([batch])
        .group_by([schema.SOURCE, schema.SOURCE_VERSION], use_threads=False)
        .aggregate([([], "count_all"), (schema.SOURCE_ROWS, "max")])
        for batch in table.scan(columns, where=None, rows_per_batch=ROWS_PER_BATCH)
    ]
    if not partial:
        return {}
    totals = (
        pa.concat_tables(partial)
        .group_by([schema.SOURCE, schema.SOURCE_VERSION])
        .aggregate([("count_all", "sum"), (f"{schema.SOURCE_ROWS}_max", "max")])
    )
    return {
        row[schema.SOURCE]: LedgerEntry(
            row[schema.SOURCE_VERSION], row["count_all_sum"], row[f"{schema.SOURCE_ROWS}_max_max"]
        )
        for row in totals.to_pylist()
    }


def rows_of_sources(table: Table, sources: Sequence[str]) -> pa.Table:
    """(source, source_row) of every row the table holds of these sources."""
    batches = table.scan([schema.SOURCE, schema.SOURCE_ROW], where=None, rows_per_batch=ROWS_PER_BATCH)
    wanted = pa.array(sources, pa.string())
    kept = [batch.filter(pc.is_in(batch[schema.SOURCE], value_set=wanted)) for batch in batches]
    return pa.Table.from_batches(
        kept, pa.schema([f for f in schema.PAIR_FIELDS if f.name in (schema.SOURCE, schema.SOURCE_ROW)])
    )


def done_rows(table: Table, sources: Iterable[str]) -> dict[str, RowRanges]:
    """The rows that the table holds of each of these sources, as ranges."""
    rows = rows_of_sources(table, list(sources))
    grouped = rows.group_by(schema.SOURCE).aggregate([(schema.SOURCE_ROW, "list")])
    return {row[schema.SOURCE]: row_ranges(row[f"{schema.SOURCE_ROW}_list"]) for row in grouped.to_pylist()}
