"""The rejected rows of a table: how many for each reason and source, which, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.sample import shown, shown_reject
from pipeline.table import Table

_ORDER = (schema.SOURCE, schema.SOURCE_ROW)
COLUMNS = pa.schema(
    [
        (schema.SOURCE, pa.string()),
        (schema.SOURCE_ROW, pa.int64()),
        (schema.KEY, pa.string()),
        (schema.UID, pa.string()),
        (schema.STAGE, pa.string()),
        (schema.REASON, pa.string()),
        ("message", pa.string()),
    ]
)
"""of a list of rejects; `message` is the table's `error_message`"""


@dataclass(frozen=True)
class Rejects:
    by_reason: Counter[str]
    by_source: Counter[str]
    first: list[dict[str, Any]]
    """COLUMNS of the first rows, by source and row; texts as commands print them"""

    @property
    def rows(self) -> int:
        return self.by_reason.total()


def read_rejects(
    opened: Table, reasons: Collection[str], most: int, write: Callable[[pa.Table], None] | None = None
) -> Rejects:
    """Reads the rows that were rejected for one of these reasons, or all rejected rows.

    Args:
        most: number of rows to return; all are counted.
        write: called with COLUMNS of all rows, a batch at a time, with their complete messages.

    Raises:
        TableError: the table cannot be read.
    """
    by_reason, by_source = Counter[str](), Counter[str]()
    first = COLUMNS.empty_table()
    stored = [schema.ERROR_MESSAGE if name == "message" else name for name in COLUMNS.names]
    for batch in opened.scan(stored, _rejected(reasons), rows_per_batch=table.ROWS_PER_BATCH):
        rows = pa.Table.from_batches([batch]).rename_columns(COLUMNS.names).cast(COLUMNS)
        by_reason.update(_counts(rows, schema.REASON))
        by_source.update(_counts(rows, schema.SOURCE))
        first = pa.concat_tables([first, rows]).sort_by([(name, "ascending") for name in _ORDER]).slice(0, most)
        if write is not None:
            write(rows)
    return Rejects(by_reason, by_source, [_shown(row) for row in first.to_pylist()])


def examples(opened: Table, kinds: Iterable[tuple[str | None, str | None]]) -> dict[tuple[str | None, str | None], str]:
    """The message of one rejected row for each (stage, reason) of these, as commands print it."""
    found = {}
    for stage, reason in kinds:
        conditions = [_equals(schema.STATUS, schema.REJECTED), _equals(schema.STAGE, stage)]
        where = " AND ".join([*conditions, _equals(schema.REASON, reason)])
        row = opened.first([*_ORDER, schema.ERROR_MESSAGE], where)
        if row is not None:
            found[stage, reason] = shown_reject(*row.values())
    return found


def _rejected(reasons: Collection[str]) -> str:
    rejected = _equals(schema.STATUS, schema.REJECTED)
    if not reasons:
        return rejected
    return f"{rejected} AND ({' OR '.join(_equals(schema.REASON, reason) for reason in reasons)})"


def _equals(column: str, value: str | None) -> str:
    if value is None:
        return f"{column} IS NULL"
    quoted = value.replace("'", "''")
    return f"{column} = '{quoted}'"


def _counts(rows: pa.Table, column: str) -> dict[str, int]:
    counted = pc.value_counts(rows[column])
    return {str(item["values"]): item["counts"] for item in counted.to_pylist()}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: shown(value) if isinstance(value, str) else value for name, value in row.items()}
