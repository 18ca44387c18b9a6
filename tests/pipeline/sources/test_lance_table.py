"""Lance datasets as input."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline.errors import InputError
from tests.pipeline.sources.reading import planned, read_all
from tests.samples import jpeg


def pairs(first: int, count: int) -> pa.Table:
    rows = range(first, first + count)
    images = pa.array([jpeg(i) for i in rows], pa.large_binary())
    return pa.table({"image": images, "caption": [f"c{i}" for i in rows], "url": [f"u{i}" for i in rows]})


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two fragments of three and two rows."""
    lance.write_dataset(pairs(0, 5), tmp_path / "x.lance", max_rows_per_file=3)
    return tmp_path / "x.lance"


def test_a_fragment_is_a_source_and_a_row_a_sample(dataset: Path) -> None:
    samples = read_all(input=dataset)
    assert [(s.row, s.rows, s.key, s.caption, s.kept["url"]) for s in samples] == [
        *((i, 3, str(i), f"c{i}", f"u{i}") for i in range(3)),
        *((i, 2, str(i), f"c{i + 3}", f"u{i + 3}") for i in range(2)),
    ]
    assert [sample.image for sample in samples] == [jpeg(i) for i in range(5)]
    assert len(planned(input=dataset)[0]) == 2


def test_rows_keep_their_places_when_others_are_appended_or_deleted(dataset: Path) -> None:
    before = {(s.source.path, s.source.version, s.row): s.caption for s in read_all(input=dataset)}
    lance.write_dataset(pairs(5, 2), dataset, mode="append")
    lance.dataset(dataset).delete("caption = 'c1'")
    lance.dataset(dataset).add_columns({"score": "1.0"})
    after = {(s.source.path, s.source.version, s.row): s.caption for s in read_all(input=dataset)}
    kept = {place: caption for place, caption in before.items() if caption != "c1"}
    assert {place: caption for place, caption in after.items() if place in before} == kept
    assert len(after) == 6


def test_a_dataset_without_images_is_refused_with_what_it_has(tmp_path: Path) -> None:
    lance.write_dataset(pa.table({"a": [1]}), tmp_path / "x.lance")
    with pytest.raises(InputError, match=r"no column of images; it has a \(int64\)"):
        read_all(input=tmp_path / "x.lance")


def test_columns_of_lists_are_refused(tmp_path: Path) -> None:
    images = pa.array([[jpeg(0)]], pa.list_(pa.large_binary()))
    lance.write_dataset(pa.table({"images": images}), tmp_path / "x.lance")
    with pytest.raises(InputError, match="lists are read from Parquet alone"):
        read_all(input=tmp_path / "x.lance")
