"""What every format promises. A new module in `pipeline/sources/formats/` is tested here without another line.

A format that no example below is of is read from every example that it takes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline import sources
from pipeline.errors import InputError
from pipeline.resume import first_rows
from pipeline.sample import Chunk, Sample
from pipeline.sources import Format, SourceOptions
from tests.samples import jpeg, write_parquet, write_photos, write_saved_dataset, write_tar

CAPTIONS = [f"caption {row}" for row in range(7)]


def folder(path: Path) -> None:
    write_photos(path, 6)
    (path / "photo0002.txt").unlink()
    (path / "photo0002.json").write_text(json.dumps({"caption": ["one", "two", "three"]}))


def webdataset(path: Path) -> None:
    for shard, rows in (("a", range(4)), ("b", range(4, 7))):
        pairs = [((f"{row}.jpg", jpeg(row)), (f"{row}.txt", CAPTIONS[row].encode())) for row in rows]
        write_tar(path / f"{shard}.tar", [member for pair in pairs for member in pair])


def webdataset_with_lists(path: Path) -> None:
    record = json.dumps({"caption": ["one", "two"]}).encode()
    write_tar(path / "a.tar", [("0.jpg", jpeg(0)), ("0.json", record), ("1.jpg", jpeg(1)), ("1.txt", b"three")])


def parquet(path: Path) -> None:
    for name, rows in (("a", range(4)), ("b", range(4, 7))):
        images, captions = [jpeg(row) for row in rows], [CAPTIONS[row] for row in rows]
        write_parquet(path / f"{name}.parquet", images, captions, row_group_size=2)


def parquet_with_lists(path: Path) -> None:
    captions = pa.array([["one", "two"], ["three"], ["four", "five"]])
    table = pa.table({"image": pa.array([jpeg(row) for row in range(3)], pa.binary()), "caption": captions})
    path.mkdir()
    pa.parquet.write_table(table, path / "a.parquet")


def saved_dataset(path: Path) -> None:
    for split, rows in (("train", range(4)), ("test", range(4, 7))):
        images = pa.array([{"bytes": jpeg(row), "path": None} for row in rows])
        write_saved_dataset(path / split, [pa.table({"image": images, "text": [CAPTIONS[row] for row in rows]})])


def saved_dataset_with_lists(path: Path) -> None:
    captions = pa.array([["one", "two"], ["three"], ["four", "five"]])
    write_saved_dataset(path, [pa.table({"image": pa.array([jpeg(row) for row in range(3)]), "captions": captions})])


def coco(path: Path) -> None:
    write_photos(path / "val2017", 4)
    images = [{"id": row, "file_name": f"photo{row:04d}.jpg"} for row in range(4)]
    for row in range(4):
        (path / "val2017" / f"photo{row:04d}.txt").unlink()
    texts = [{"image_id": 6 - row if row > 3 else row, "caption": CAPTIONS[row]} for row in range(7)]
    (path / "captions_val2017.json").write_text(json.dumps({"images": images, "annotations": texts}))


def jsonl(path: Path) -> None:
    write_photos(path / "images", 4)
    records = [{"url": f"images/photo{row:04d}.jpg", "caption": CAPTIONS[row]} for row in range(4)]
    (path / "pairs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def tsv(path: Path) -> None:
    write_photos(path / "images", 4)
    with (path / "pairs.tsv").open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerows([["url", "caption"], *([f"images/photo{row:04d}.jpg", CAPTIONS[row]] for row in range(4))])


def lance_table(path: Path) -> None:
    rows = pa.table({"image": pa.array([jpeg(row) for row in range(7)], pa.binary()), "caption": CAPTIONS})
    lance.write_dataset(rows, path, max_rows_per_file=4)


def lance_table_with_deleted_rows(path: Path) -> None:
    lance_table(path)
    lance.dataset(path).delete("caption = 'caption 1'")


EXAMPLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (folder, ""),
    "webdataset": (webdataset, ""),
    "webdataset, lists of captions": (webdataset_with_lists, ""),
    "parquet": (parquet, ""),
    "parquet, lists of captions": (parquet_with_lists, ""),
    "arrow": (saved_dataset, ""),
    "arrow, lists of captions": (saved_dataset_with_lists, ""),
    "coco": (coco, "/captions_val2017.json"),
    "manifest, jsonl": (jsonl, "/pairs.jsonl"),
    "manifest, tsv": (tsv, "/pairs.tsv"),
    "lance": (lance_table, ""),
    "lance, deleted rows": (lance_table_with_deleted_rows, ""),
}
FORMATS = sources.formats()


class Example:
    """An input, read as one format."""

    def __init__(self, path: Path, example: str, name: str) -> None:
        write, input_of = EXAMPLES[example]
        write(path)
        self.options = SourceOptions(input=(f"{path}{input_of}",), allow_uri=(path.as_uri() + "/",))
        self.format: Format = FORMATS[name]
        self.owner = example.partition(",")[0]
        """the format that the input is of"""
        _, self.listing = sources.resolve(self.options.model_copy(update={"input_format": name}))
        self.chunks = self.format.plan(self.listing, self.options)
        self.sources = {source.path: source for chunk in self.chunks for source in chunk.sources}

    def read(self, chunk: Chunk) -> list[Sample]:
        return list(self.format.read(chunk, self.options))

    @property
    def samples(self) -> list[Sample]:
        return [sample for chunk in self.chunks for sample in self.read(chunk)]


def names_of_formats() -> Iterator[tuple[str, str]]:
    """(format, example): each with its own examples, an unknown one with all."""
    for name in FORMATS:
        own = [example for example in EXAMPLES if example.partition(",")[0] == name]
        yield from ((name, example) for example in own or EXAMPLES)


@pytest.fixture(params=names_of_formats(), ids=": ".join)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    name, of = request.param
    try:
        return Example(tmp_path / "in", of, name)
    except InputError as error:
        if of.partition(",")[0] == name:
            raise
        pytest.skip(f"{name} does not take the example of {of}: {error}")


def test_the_input_is_recognised_as_one_format_alone(example: Example) -> None:
    claimed = [name for name, each in FORMATS.items() if each.claims(example.listing)]
    assert claimed in ([example.owner], [])
    assert sources.resolve(example.options)[0] == example.owner


def test_rows_of_a_source_rise_from_0_and_are_as_many_as_it_says(example: Example) -> None:
    assert {sample.source.path for sample in example.samples} == example.sources.keys()
    for path in example.sources:
        rows = [sample.row for sample in example.samples if sample.source.path == path]
        stated = {sample.rows for sample in example.samples if sample.source.path == path} - {None}
        assert rows == sorted(set(rows))
        assert rows[0] >= 0
        assert len(stated) <= 1
        assert stated <= {len(rows)}
        if not any(chunk.gaps for chunk in example.chunks):
            assert rows == list(range(len(rows)))


def test_reading_again_gives_the_same(example: Example) -> None:
    assert example.samples == example.samples
    assert len({(sample.source.path, sample.row) for sample in example.samples}) == len(example.samples)


def test_rows_that_are_done_are_left_out_and_no_others(example: Example) -> None:
    for parity in (0, 1):
        done = [(sample.source.path, sample.row) for place, sample in enumerate(example.samples) if place % 2 == parity]
        left = [sample for chunk in example.chunks for sample in example.read(chunk.without(done))]
        assert left == [s for s in example.samples if (s.source.path, s.row) not in done]


def test_where_the_first_sample_tells_the_rows_it_does_so_even_if_nothing_is_read(example: Example) -> None:
    if not example.format.TELLS_ROWS_AT_ONCE:
        pytest.skip("this format counts the samples while it reads")
    for chunk in example.chunks:
        first = next(iter(example.read(replace(chunk, with_images=False, with_captions=False))))
        assert first.rows == sum(sample.source == first.source for sample in example.samples)


def test_what_planning_says_of_the_number_of_samples_is_right(example: Example) -> None:
    for source in example.sources.values():
        if source.samples is not None:
            assert source.samples == sum(sample.source == source for sample in example.samples)


def test_without_images_the_same_rows_are_there(example: Example) -> None:
    counted = [sample for chunk in example.chunks for sample in example.read(replace(chunk, with_images=False))]
    assert [(s.source, s.row) for s in counted] == [(s.source, s.row) for s in example.samples]


def test_a_limit_takes_the_first_rows_of_the_plan(example: Example) -> None:
    for rows in (1, 3, len(example.samples), 100):
        cut = first_rows(example.chunks, rows, lambda chunk: example.format.read(chunk, example.options))
        taken = [sample for chunk in cut for sample in islice(example.format.read(chunk, example.options), chunk.limit)]
        assert taken == example.samples[:rows]


def test_a_fraction_takes_a_part_that_a_larger_one_holds(example: Example) -> None:
    def taken(fraction: float) -> set[tuple[str, int]]:
        parts = (example.read(replace(chunk, fraction=fraction)) for chunk in example.chunks)
        return {(sample.source.path, sample.row) for part in parts for sample in part}

    everything = {(sample.source.path, sample.row) for sample in example.samples}
    assert taken(1e-9) == set()
    assert taken(0.3) <= taken(0.6) <= taken(1.0) == everything


def test_sources_have_their_size_and_a_version(example: Example) -> None:
    assert all(source.version and source.uri for source in example.sources.values())
    sizes = {file.path: file.size for file in example.listing.files}
    assert all(source.size == sizes[path] for path, source in example.sources.items() if path in sizes)


def test_each_sample_has_an_image_and_a_caption(example: Example) -> None:
    assert [sample.reject for sample in example.samples] == [None] * len(example.samples)
    assert all(sample.image and sample.caption and sample.key for sample in example.samples)


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_files_bytes_look_like_belongs_to_one_format(name: str) -> None:
    others = [kind for other, each in FORMATS.items() if other != name for kind in each.CONTENT]
    assert not FORMATS[name].CONTENT & set(others)
