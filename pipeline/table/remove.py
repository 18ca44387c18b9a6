"""Removes pairs from a table: replaces their rows with tombstones, in one atomic commit."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.iteration import grouped
from pipeline.table.commit import Change, Committer, stage
from pipeline.table.compact import ROWS_PER_FRAGMENT
from pipeline.table.lease import at_work
from pipeline.table.store import Table, open_table, require_nullable
from pipeline.table.tombstones import LEFT, tombstones
from pipeline.table.uri import TableUri


def remove_rows(uri: TableUri, where: str | None, uids: pa.Array | None = None) -> int:
    """Replaces the rows that meet `where` and have one of these uids with tombstones. Existing tombstones stay.

    Returns:
        how many rows were removed.

    Raises:
        TableError: there is no such table, `where` is not SQL over its columns, or other writers kept committing first.
    """

    def plan(table: Table | None) -> Change:
        assert table is not None
        staged, gone = [], [pa.array([], pa.uint64())]
        for batches in grouped(_found(table, where, uids), (ROWS_PER_FRAGMENT, len)):
            rows = pa.Table.from_batches(batches)
            staged.append(stage(uri, tombstones(rows, table.schema)))
            gone.append(rows[ROW_ADDRESS].combine_chunks())
        return Change(staged, pa.concat_arrays(gone))

    with at_work(uri, "remove"):
        table = open_table(uri)
        require_nullable(table, [field.name for field in schema.table_schema(table.identity)])
        return len(Committer(uri, table.schema, table).apply(plan).gone)


def count_rows(uri: TableUri, where: str | None, uids: pa.Array | None = None) -> int:
    """How many rows `remove_rows` would remove."""
    return sum(batch.num_rows for batch in _found(open_table(uri), where, uids))


def _found(table: Table, where: str | None, uids: pa.Array | None) -> Iterator[pa.RecordBatch]:
    living = f"{schema.STATUS} <> '{schema.REMOVED}'"
    for batch in table.scan(LEFT, f"{living} AND ({where})" if where else living, addresses=True):
        found = batch if uids is None else batch.filter(pc.is_in(batch[schema.UID], value_set=uids))
        if found.num_rows:
            yield found
