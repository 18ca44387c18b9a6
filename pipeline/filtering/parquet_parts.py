"""Kept rows in files of Parquet: which columns, and how they are cut into files and row groups."""

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
"""where captions are so long that fewer rows must do"""

# Null in every kept row, or of use to the ledger alone.
_LEFT_OUT = {
    schema.IMAGE_VECTOR,
    schema.TEXT_VECTOR,
    schema.STATUS,
    schema.STAGE,
    schema.REASON,
    schema.ERROR_MESSAGE,
}

# Other in every row, so that a dictionary of their values only costs time.
_UNIQUE = {schema.UID, schema.KEY, schema.MEMBER, schema.CAPTION, schema.IMAGE_SHA256}

# Random digits: Snappy takes twice as long as all else that is done to them, and gains a tenth.
_RANDOM = {schema.UID, schema.IMAGE_SHA256}


def columns(table: Table) -> pa.Schema:
    """Every column of the kept rows but the vectors."""
    return pa.schema([field for field in table.schema if field.name not in _LEFT_OUT])


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
    """Of Parquet's writer: what is done to which columns."""
    texts = [field.name for field in columns if pa.types.is_string(field.type)]
    return {
        "use_dictionary": [name for name in texts if name not in _UNIQUE],
        "write_statistics": [field.name for field in columns if pa.types.is_primitive(field.type)],
        "compression": {path: "none" if path in _RANDOM else "snappy" for path in _leaves(columns)},
    }


def _leaves(columns: pa.Schema) -> list[str]:
    """The paths of what Parquet stores: of a column of lists or structs, those within it."""
    sink = pa.BufferOutputStream()
    pq.write_table(columns.empty_table(), sink)
    stored = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    return [stored.column(place).path for place in range(len(stored))]


def _row_groups(batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> Iterator[pa.Table]:
    """Batches joined, so that a filter that keeps little leaves no row groups of a few rows; none is empty."""
    filled = (batch for batch in batches if batch.num_rows)
    for group in grouped(filled, (ROWS_PER_GROUP, len), (BYTES_PER_GROUP, lambda batch: batch.nbytes)):
        yield pa.Table.from_batches(group, columns)
