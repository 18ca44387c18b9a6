"""Large Parquet files are read in parts: each row once, wherever the parts are cut and whatever is broken."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.sample import Sample
from pipeline.sources.formats import parquet
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.samples import jpeg, write_parquet


def rows(samples: Sequence[Sample], source: str) -> list[int]:
    return [sample.row for sample in samples if sample.source.path == source]


def begins(file: Path) -> list[int]:
    """The first byte of each row group."""
    metadata = pq.ParquetFile(file).metadata
    first = [metadata.row_group(group).column(0) for group in range(metadata.num_row_groups)]
    return [min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in first]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine rows in three row groups."""
    images = [jpeg(n) for n in range(9)]
    return write_parquet(tmp_path / "a.parquet", images, [f"c{n}" for n in range(9)], row_group_size=3)


def test_a_later_file_that_is_no_parquet_is_one_rejected_row_in_all_its_parts(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BYTES_PER_PART", 2000)
    (photos.parent / "b.parquet").write_bytes(b"no parquet" * 1000)
    assert sum(chunk.sources[0].path == "b.parquet" for chunk in planned(input=photos.parent)[0]) == 5
    samples = read_all(input=photos.parent)
    assert rows(samples, "a.parquet") == list(range(9))
    assert rows(samples, "b.parquet") == [0]
    assert reasons(samples) == [*[None] * 9, "bad-parquet"]


def test_rows_of_a_later_file_without_images_are_rejected_once_in_all_its_parts(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BYTES_PER_PART", 500)
    pq.write_table(pa.table({"other": [f"{n * 7919}" for n in range(900)]}), photos.parent / "b.parquet")
    assert sum(chunk.sources[0].path == "b.parquet" for chunk in planned(input=photos.parent)[0]) > 5
    assert rows(read_all(input=photos.parent), "b.parquet") == list(range(900))


def test_a_row_group_that_begins_where_a_part_does_is_read_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = photos.stat().st_size
    for begin in begins(photos)[1:]:
        for most in range(size - 1, 1, -1):
            parts = math.ceil(size / most)
            if begin in {size * edge // parts for edge in range(1, parts)}:
                break
        monkeypatch.setattr(parquet, "BYTES_PER_PART", most)
        assert len(planned(input=photos)[0]) == parts
        assert rows(read_all(input=photos), "a.parquet") == list(range(9))


def test_a_file_that_grew_since_it_was_listed_loses_no_row_group(photos: Path) -> None:
    chunks, options = planned(input=photos)
    images = [jpeg(n) for n in range(30)]
    write_parquet(photos, images, [f"c{n}" for n in range(30)], row_group_size=3)
    assert begins(photos)[-1] > chunks[0].sources[0].size
    assert rows([sample for chunk in chunks for sample in parquet.read(chunk, options)], "a.parquet") == [*range(30)]


def test_of_a_broken_row_group_only_rows_that_are_left_to_do_are_rejected(photos: Path) -> None:
    offset = pq.ParquetFile(photos).metadata.row_group(1).column(0).data_page_offset
    with photos.open("r+b") as handle:
        os.pwrite(handle.fileno(), b"\xff" * 64, offset)
    (chunk,), options = planned(input=photos)
    samples = list(parquet.read(replace(chunk, done={"a.parquet": ((0, 4), (5, 7))}), options))
    assert [(sample.row, reason) for sample, reason in zip(samples, reasons(samples), strict=True)] == [
        (4, "bad-parquet"),
        (7, None),
        (8, None),
    ]


def test_a_file_that_says_it_holds_more_rows_than_its_bytes_can_is_one_rejected_row(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = pa.table({"image": pa.nulls(5_000, pa.binary()), "caption": np.repeat("a", 5_000)})
    pq.write_table(many, photos.parent / "b.parquet")
    assert len(rows(read_all(input=photos.parent), "b.parquet")) == 5_000
    monkeypatch.setattr(parquet, "MAX_FEW_ROWS", 100)
    monkeypatch.setattr(parquet, "MAX_ROWS_PER_BYTE", 1)
    samples = read_all(input=photos.parent)
    assert (rows(samples, "a.parquet"), rows(samples, "b.parquet")) == ([*range(9)], [0])
    assert samples[-1].reject is not None
    assert "row group 0: claims 5000 rows, but the file has only " in samples[-1].reject.message
