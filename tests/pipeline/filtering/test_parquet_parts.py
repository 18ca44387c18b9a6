"""How kept rows are cut into files and row groups of Parquet."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.filtering import parquet_parts

COLUMNS = pa.schema([("number", pa.int64()), ("caption", pa.string())])


@pytest.fixture(autouse=True)
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_parts, "ROWS_PER_GROUP", 6_000)
    monkeypatch.setattr(parquet_parts, "ROWS_PER_PART", 100_000)


def batches(sizes: list[int]) -> list[pa.RecordBatch]:
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return [
        pa.record_batch([pa.array(range(start, start + size)), pa.repeat("a caption", size)], COLUMNS)
        for start, size in zip(starts, sizes, strict=True)
    ]


def test_a_few_rows_of_many_batches_are_one_row_group(tmp_path: Path) -> None:
    parquet_parts.write_parts(batches([3, 0, 2] * 200), COLUMNS, tmp_path)
    (file,) = tmp_path.iterdir()
    assert pq.ParquetFile(file).num_row_groups == 1
    assert pq.read_table(file)["number"].to_pylist() == list(range(1000))


def test_many_rows_are_several_files_of_large_row_groups_in_their_order(tmp_path: Path) -> None:
    parquet_parts.write_parts(batches([5_000] * 30), COLUMNS, tmp_path)
    files = [pq.ParquetFile(file) for file in sorted(tmp_path.iterdir())]
    rows = [[file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)] for file in files]
    assert rows == [[10_000] * 10, [10_000] * 5]
    assert pq.read_table(tmp_path)["number"].to_pylist() == list(range(150_000))


def test_long_captions_make_row_groups_of_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_parts, "BYTES_PER_GROUP", 1000)
    parquet_parts.write_parts(batches([10] * 30), COLUMNS, tmp_path)
    (file,) = tmp_path.iterdir()
    groups = pq.ParquetFile(file).metadata
    sizes = [groups.row_group(place).num_rows for place in range(groups.num_row_groups)]
    assert sum(sizes) == 300
    assert set(sizes[:-1]) == {50}  # of 22 bytes each, as Arrow counts them
    assert pq.read_table(file)["number"].to_pylist() == list(range(300))


def test_of_no_rows_there_is_a_file_with_the_columns(tmp_path: Path) -> None:
    parquet_parts.write_parts([], COLUMNS, tmp_path)
    (file,) = tmp_path.iterdir()
    assert pq.read_table(file).schema == COLUMNS
    assert pq.read_table(file).num_rows == 0
