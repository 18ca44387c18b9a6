"""Tombstones: a removed pair leaves a row that marks it as removed, so that later runs skip the pair."""

from __future__ import annotations

import pyarrow as pa

from pipeline import schema

LEFT = (
    schema.UID,
    schema.KEY,
    schema.SOURCE,
    schema.SOURCE_VERSION,
    schema.SOURCE_ROW,
    schema.SOURCE_ROWS,
    schema.MEMBER,
    schema.IMAGE_SHA256,
)
"""columns that identify the pair, by its place in the source and by its image; all others are null"""


def tombstones(rows: pa.Table, table_schema: pa.Schema) -> pa.Table:
    """Turns rows, with at least the columns LEFT, into tombstones in the table's schema."""
    columns = {
        field.name: rows[field.name] if field.name in LEFT else pa.nulls(rows.num_rows, field.type)
        for field in table_schema
    }
    columns[schema.STATUS] = pa.repeat(pa.scalar(schema.REMOVED), rows.num_rows)
    return pa.table(columns, table_schema)
