"""Writes the verdict to a column of the table: true for kept rows, false for other embedded rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from pipeline import schema
from pipeline.errors import UsageError
from pipeline.filtering.kept import KeptRows
from pipeline.filtering.selection import GroupCut, Selection
from pipeline.table import EMBEDDED, Table, add_columns, fill_columns


def require_name(table: Table, name: str, selection: Selection) -> None:
    """Checks a flag before anything is written.

    Raises:
        UsageError: a column of verdicts cannot have that name, the selection reads that column, or the table's address
            names a fixed version.
    """
    if not schema.is_free_name(name):
        raise UsageError(f"flag {name!r}: a new column cannot have this name; choose another, of letters, digits and _")
    if table.uri.state is not None:
        raise UsageError(f"table {table.uri}: a fixed version cannot be flagged; leave out @{table.uri.state}")
    if name in table.schema.names and table.schema.field(name).type != pa.bool_():
        raise UsageError(
            f"flag {name!r}: the table has a column of that name with type {table.schema.field(name).type}, not bool; "
            "choose another name"
        )
    # The selection is evaluated again while the column is filled, so values filled first would change it.
    if name == selection.per or re.search(rf"\b{re.escape(name)}\b", selection.where or "", re.IGNORECASE):
        option = "per" if name == selection.per else "where"
        raise UsageError(f"flag {name!r}: --{option} reads the same column; choose another name for the flag")


def write(table: Table, selection: Selection, cuts: Sequence[GroupCut], name: str) -> None:
    """Fills the column with the verdicts; adds it if the table lacks it. Rows embedded meanwhile are judged too.

    Raises:
        TableError: the table has such a column of another type, or other writers kept committing first.
    """
    add_columns(table.uri, pa.schema([(name, pa.bool_())]))
    kept = KeptRows(table, selection, cuts, [])

    def judge(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        return {name: pa.array(kept.judge(batch).kept)}

    for _ in fill_columns(table.uri, f"flag {name}", kept.needed_columns, selection.condition, judge):
        pass
    if selection.where is not None:
        others = f"{EMBEDDED} AND ({selection.where}) IS NOT TRUE"
        for _ in fill_columns(table.uri, f"flag {name}", [schema.UID], others, lambda batch: _none_kept(batch, name)):
            pass


def _none_kept(batch: pa.RecordBatch, name: str) -> dict[str, pa.Array]:
    return {name: pa.repeat(pa.scalar(False), len(batch))}
