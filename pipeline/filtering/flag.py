"""The verdict as a column of the table: true for what is kept, false for other embedded rows."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.filtering.kept import KeptRows
from pipeline.filtering.selection import GroupCut, Selection
from pipeline.table import EMBEDDED, Table, add_columns, fill_columns


def require_name(table: Table, name: str) -> None:
    """Raises UsageError where no column can have that name, or the table's address is that of a fixed state."""
    if not schema.is_free_name(name):
        raise UsageError(f"flag {name!r}: not a name for a column of its own; use letters, digits and _")
    if table.uri.state is not None:
        raise UsageError(f"table {table.uri}: a fixed state cannot be flagged; leave out @{table.uri.state}")


def write(table: Table, selection: Selection, cuts: Sequence[GroupCut], name: str) -> None:
    """Fills the column by the cuts, and makes it where the table lacks it. Rows embedded since are judged too.

    Raises:
        TableError: the table has such a column of another type, or other writers were quicker.
    """
    add_columns(table.uri, pa.schema([(name, pa.bool_())]))
    kept = KeptRows(table, selection, cuts, [])

    def judge(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        return {name: pa.array(kept.groups_and_mask(batch)[1])}

    for _ in fill_columns(table.uri, f"flag {name}", kept.needed_columns, selection.condition, judge):
        pass
    if selection.where is not None:
        others = f"{EMBEDDED} AND ({selection.where}) IS NOT TRUE"
        for _ in fill_columns(table.uri, f"flag {name}", [schema.UID], others, lambda batch: _none_kept(batch, name)):
            pass


def _none_kept(batch: pa.RecordBatch, name: str) -> dict[str, pa.Array]:
    return {name: pa.repeat(pa.scalar(False), len(batch))}
