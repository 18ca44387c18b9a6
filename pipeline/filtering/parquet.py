"""Output as Parquet: every column of the kept rows but the vectors, in the order they lie."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import schema
from pipeline.table import Table

NAME = "parquet"
ROWS_PER_SHARD = 1 << 20

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


def columns(table: Table) -> pa.Schema:
    return pa.schema([field for field in table.schema if field.name not in _LEFT_OUT])


def write(table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
    write_parts(batches, columns(table), folder)


def write_parts(batches: Iterable[pa.RecordBatch], columns: pa.Schema, folder: Path) -> None:
    """Writes `part-00000.parquet` and so on, at least one."""

    def start(shard: int) -> pq.ParquetWriter:
        return pq.ParquetWriter(folder / f"part-{shard:05d}.parquet", columns, use_dictionary=repeated)

    repeated = [field.name for field in columns if pa.types.is_string(field.type) and field.name not in _UNIQUE]
    in_shard = shard = 0
    writer = start(shard)
    try:
        for batch in batches:
            if in_shard >= ROWS_PER_SHARD:
                writer.close()
                shard, in_shard = shard + 1, 0
                writer = start(shard)
            writer.write_batch(batch)
            in_shard += batch.num_rows
    finally:
        writer.close()
