"""What is left of a pair that was removed: a row that says so, and that later runs find in its place."""

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
"""what names the pair, in its source and by its image; all else is null"""


def tombstones(rows: pa.Table, table_schema: pa.Schema) -> pa.Table:
    """Rows, of which at least LEFT is given, as tombstones in the table's schema."""
    columns = {
        field.name: rows[field.name] if field.name in LEFT else pa.nulls(rows.num_rows, field.type)
        for field in table_schema
    }
    columns[schema.STATUS] = pa.repeat(pa.scalar(schema.REMOVED), rows.num_rows)
    return pa.table(columns, table_schema)
