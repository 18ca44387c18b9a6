"""Removes pairs from a table: replaces their rows with tombstones, in one atomic commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Named:
    """The rows that have one of these values in one of these columns of strings."""

    columns: Sequence[str]
    values: pa.Array
    """strings, sorted, each once"""

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """Whether each row of a batch is one of them."""
        found = [pc.is_in(batch[name].cast(pa.string()), value_set=self.values) for name in self.columns]
        return found[0] if len(found) == 1 else pc.or_(*found)


def remove_rows(uri: TableUri, where: str | None, named: Named | None = None) -> int:
    """Replaces the rows that meet `where` and are among the named ones with tombstones. Existing tombstones stay.

    Returns:
        how many rows were removed.

    Raises:
        TableError: there is no such table, `where` is not SQL over its columns, or other writers kept committing first.
    """

    def plan(table: Table | None) -> Change:
        assert table is not None
        staged, gone = [], [pa.array([], pa.uint64())]
        for batches in grouped(find_rows(table, where, named), (ROWS_PER_FRAGMENT, len)):
            rows = pa.Table.from_batches(batches)
            staged.append(stage(uri, tombstones(rows, table.schema)))
            gone.append(rows[ROW_ADDRESS].combine_chunks())
        return Change(staged, pa.concat_arrays(gone))

    with at_work(uri, "remove"):
        table = open_table(uri)
        require_nullable(table, [field.name for field in schema.table_schema(table.identity)])
        return len(Committer(uri, table.schema, table).apply(plan).gone)


def count_rows(uri: TableUri, where: str | None, named: Named | None = None) -> int:
    """How many rows `remove_rows` would remove."""
    return sum(batch.num_rows for batch in find_rows(open_table(uri), where, named))


def find_rows(table: Table, where: str | None, named: Named | None) -> Iterator[pa.RecordBatch]:
    """The columns LEFT and `_rowaddr` of the rows that `remove_rows` would remove. No batch is empty."""
    living = f"{schema.STATUS} <> '{schema.REMOVED}'"
    columns = dict.fromkeys([*LEFT, *(named.columns if named else ())])
    for batch in table.scan(list(columns), f"{living} AND ({where})" if where else living, addresses=True):
        found = batch if named is None else batch.filter(named.of(batch))
        if found.num_rows:
            yield found.select([*LEFT, ROW_ADDRESS])
