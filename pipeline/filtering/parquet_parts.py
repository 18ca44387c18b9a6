"""Writes kept rows to Parquet: which columns, and how they are split into files and row groups."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.iteration import ahead, grouped
from pipeline.table import Table

ROWS_PER_PART = 1 << 20
ROWS_PER_GROUP = 1 << 16
BYTES_PER_GROUP = 64 << 20
"""limit for rows with long captions: a group then has fewer rows"""

# Columns that are null in every kept row, or useful only in the table. Thumbnails would be most of the bytes.
_LEFT_OUT = {
    schema.IMAGE_VECTOR,
    schema.TEXT_VECTOR,
    schema.STATUS,
    schema.STAGE,
    schema.REASON,
    schema.ERROR_MESSAGE,
}


# Columns whose values differ in every row: a dictionary only costs time.
_UNIQUE = {schema.UID, schema.KEY, schema.MEMBER, schema.CAPTION, schema.IMAGE_SHA256}

# Random digits: compressing them with Snappy takes twice as long as all other work on them, and saves a tenth.
_RANDOM = {schema.UID, schema.IMAGE_SHA256}


def columns(table: Table) -> pa.Schema:
    """The columns to write: all except the vectors, the thumbnails and the status columns."""
    has_thumbnails = schema.thumbnail_px(table.schema) is not None
    left_out = _LEFT_OUT | {schema.THUMBNAIL} if has_thumbnails else _LEFT_OUT
    return pa.schema([field for field in table.schema if field.name not in left_out])


def write_parts(batches: Iterable[pa.RecordBatch], columns: pa.Schema, folder: Path) -> None:
    """Writes `part-00000.parquet` and so on, at least one, in row groups of `ROWS_PER_GROUP` rows or a little more.

    A group is written while the next is read.
    """
    groups = ahead(_row_groups(batches, columns))
    group = next(groups, None)
    for part in itertools.count():
        with pq.ParquetWriter(folder / f"part-{part:05d}.parquet", columns, **_options(columns)) as writer:
            rows = 0
            while group is not None and rows < ROWS_PER_PART:
                writer.write_table(group)
                rows += group.num_rows
                group = next(groups, None)
        if group is None:
            return


def _options(columns: pa.Schema) -> dict[str, Any]:
    """Options of the Parquet writer, by column."""
    texts = [field.name for field in columns if pa.types.is_string(field.type)]
    return {
        "use_dictionary": [name for name in texts if name not in _UNIQUE],
        "write_statistics": [field.name for field in columns if pa.types.is_primitive(field.type)],
        "compression": {path: "none" if path in _RANDOM else "snappy" for path in _leaves(columns)},
    }


def _leaves(columns: pa.Schema) -> list[str]:
    """The paths of the columns that Parquet stores; for a column of lists or structs, the paths within it."""
    sink = pa.BufferOutputStream()
    pq.write_table(columns.empty_table(), sink)
    stored = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [stored.column(place).path for place in range(len(stored))]


def _row_groups(batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> Iterator[pa.Table]:
    """Batches joined into row groups that are never empty. So a filter that keeps little writes no tiny row groups."""
    filled = (batch for batch in batches if batch.num_rows)
    for group in grouped(filled, (ROWS_PER_GROUP, len), (BYTES_PER_GROUP, lambda batch: batch.nbytes)):
        yield pa.Table.from_batches(group, columns)
