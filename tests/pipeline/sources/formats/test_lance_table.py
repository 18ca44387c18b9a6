"""Lance datasets as input."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline.embedding import plan
from pipeline.embedding.plan import EmbedOptions
from pipeline.errors import InputError
from pipeline.sources.formats import lance_table
from tests.embedding import embed
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
    with pytest.raises(InputError, match=r"no column of images among a \(int64\)"):
        read_all(input=tmp_path / "x.lance")


def test_each_element_of_a_list_is_a_sample_whatever_rows_are_deleted(tmp_path: Path) -> None:
    images = pa.array([[jpeg(0)], [jpeg(1), jpeg(2)], [], [jpeg(3), None]], pa.list_(pa.large_binary()))
    lance.write_dataset(pa.table({"images": images, "caption": list("abcd")}), tmp_path / "x.lance")
    samples = read_all(input=tmp_path / "x.lance")
    second = lance_table.ELEMENT
    assert [(s.row, s.rows, s.key, s.caption, s.image) for s in samples] == [
        (0, None, "0", "a", jpeg(0)),
        (1, None, "1", "b", jpeg(1)),
        (1 + second, None, "1#1", "b", jpeg(2)),
        (2, None, "2", "c", None),
        (3, None, "3", "d", jpeg(3)),
        (3 + second, 6, "3#1", "d", None),
    ]
    lance.dataset(tmp_path / "x.lance").delete("caption = 'a'")
    assert [sample.row for sample in read_all(input=tmp_path / "x.lance")] == [sample.row for sample in samples[1:]]


def test_captions_in_lists_and_images_in_lists_of_structs(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct([("bytes", pa.large_binary()), ("path", pa.string())]))
    images = pa.array([[{"bytes": jpeg(0), "path": "a"}, {"bytes": jpeg(1), "path": "b"}]], kind)
    captions = pa.array([["a", "b"]], pa.list_(pa.string()))
    lance.write_dataset(pa.table({"images": images, "caption": captions}), tmp_path / "x.lance")
    assert [(s.image, s.caption) for s in read_all(input=tmp_path / "x.lance")] == [(jpeg(0), "a"), (jpeg(1), "b")]


def test_a_dataset_with_lists_that_is_done_is_not_read_again(tmp_path: Path, model: Path) -> None:
    images = pa.array([[jpeg(0), jpeg(1)], [jpeg(2)]], pa.list_(pa.large_binary()))
    lance.write_dataset(pa.table({"images": images}), tmp_path / "x.lance")
    assert embed(tmp_path / "x.lance", tmp_path / "t", model) == {("success", None): 3}
    options = EmbedOptions(input=str(tmp_path / "x.lance"), table=str(tmp_path / "t"), model=str(model))
    assert plan.plan(options).chunks == []
