"""Sizes from the page headers of Parquet."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fileformats import parquet_pages

ROWS = 10_000


def column_chunk(folder: Path, **options: object) -> bytes:
    """A column chunk of several pages of whole numbers."""
    table = pa.table([pa.array(range(ROWS), pa.int64())], schema=pa.schema([pa.field("x", pa.int64(), nullable=False)]))
    pq.write_table(table, folder / "x.parquet", use_dictionary=False, data_page_size=1000, **options)
    column = pq.read_metadata(folder / "x.parquet").row_group(0).column(0)
    data = (folder / "x.parquet").read_bytes()
    return data[column.data_page_offset :][: column.total_compressed_size]


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip"])
def test_the_sizes_of_all_pages_are_summed(tmp_path: Path, codec: str, version: str) -> None:
    chunk = column_chunk(tmp_path, compression=codec, data_page_version=version)
    assert parquet_pages.unpacked_size(chunk) == 8 * ROWS


def test_damage_ends_the_sum_and_raises_nothing(tmp_path: Path) -> None:
    chunk = column_chunk(tmp_path)
    drawn = random.Random(0)
    for _ in range(200):
        broken = bytearray(chunk[: drawn.randrange(len(chunk))])
        for _ in range(20 if broken else 0):
            broken[drawn.randrange(len(broken))] = drawn.randrange(256)
        assert parquet_pages.unpacked_size(bytes(broken)) >= 0
    assert parquet_pages.unpacked_size(b"") == 0
