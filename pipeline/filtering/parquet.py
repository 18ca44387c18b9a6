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


def columns(table: Table) -> pa.Schema:
    return pa.schema([field for field in table.schema if field.name not in _LEFT_OUT])


def write(table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
    write_parts(batches, columns(table), folder)


def write_parts(batches: Iterable[pa.RecordBatch], columns: pa.Schema, folder: Path) -> None:
    """Writes `part-00000.parquet` and so on, at least one."""
    in_shard = shard = 0
    writer = pq.ParquetWriter(folder / f"part-{shard:05d}.parquet", columns)
    try:
        for batch in batches:
            if in_shard >= ROWS_PER_SHARD:
                writer.close()
                shard, in_shard = shard + 1, 0
                writer = pq.ParquetWriter(folder / f"part-{shard:05d}.parquet", columns)
            writer.write_batch(batch)
            in_shard += batch.num_rows
    finally:
        writer.close()
