"""Output as Parquet: the columns of the kept rows without vectors, and with `--with-images` the original images.

Images are not re-encoded. With images, rows have the order of the input; without images, the order of the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from pipeline import originals
from pipeline.filtering import parquet_parts
from pipeline.filtering.outputs import Writer
from pipeline.iteration import grouped, one
from pipeline.originals import Original
from pipeline.sources import SourceOptions
from pipeline.table import Table

HELP = "the columns of the kept rows"
IMAGE = "image"
ROWS_PER_FILE = 10_000
BYTES_PER_ROW_GROUP = 64 << 20
"""bytes of images in a row group; one task can read it"""


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    with_images: bool = Field(False, description="write the original images too, as the column image")


def reads_images(options: Options) -> bool:
    return options.with_images


def writer(options: Options, source: SourceOptions | None) -> Writer:
    if not options.with_images:
        return Columns()
    assert source is not None
    return ColumnsAndImages(source)


@dataclass(frozen=True)
class Columns:
    def columns(self, table: Table) -> pa.Schema:
        return parquet_parts.columns(table)

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
        parquet_parts.write_parts(batches, self.columns(table), folder)


@dataclass(frozen=True)
class ColumnsAndImages:
    source: SourceOptions

    def columns(self, table: Table) -> pa.Schema:
        return originals.columns(table)

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path) -> None:
        """Writes `part-00000.parquet` and so on, at least one, with the column `image` of bytes."""
        columns = parquet_parts.columns(table)
        held = columns.append(pa.field(IMAGE, pa.binary()))
        found = originals.with_records(table, self.source, originals.collect(batches), columns.names)
        writer = pq.ParquetWriter(folder / "part-00000.parquet", held)
        part = rows = 0
        try:
            for group in grouped(chain.from_iterable(found), (ROWS_PER_FILE, one), (BYTES_PER_ROW_GROUP, _size)):
                if rows >= ROWS_PER_FILE:
                    writer.close()
                    part, rows = part + 1, 0
                    writer = pq.ParquetWriter(folder / f"part-{part:05d}.parquet", held)
                records = [{**original.record, IMAGE: original.image} for original in group]
                writer.write_table(pa.Table.from_pylist(records, held))
                rows += len(group)
        finally:
            writer.close()


def _size(original: Original) -> int:
    return len(original.image or b"")
