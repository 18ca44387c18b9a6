"""Parquet that is hostile or odd: lists, URIs, bombs, damage, and stores that fail while it is read."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.errors import InputError, SiglaneError, StorageError
from pipeline.sources import columns
from pipeline.sources.formats import parquet
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.samples import jpeg, write_parquet


def write(file: Path, row_group_size: int | None = None, **columns: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file, row_group_size)
    return file


def test_each_image_of_a_list_is_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BYTES_PER_PART", 2000)
    images = pa.array([[jpeg(0)], [jpeg(1), jpeg(2)], [], None, [jpeg(3), None]], pa.list_(pa.binary()))
    write(tmp_path / "x.parquet", 2, image_bytes=images, text=list("abcde"))
    samples = read_all(input=tmp_path)
    assert len(planned(input=tmp_path)[0]) > 1
    assert [(s.row, s.rows, s.key, s.caption, s.image is not None) for s in samples] == [
        (0, 7, "0", "a", True),
        (1, 7, "1", "b", True),
        (2, 7, "1#1", "b", True),
        (3, 7, "2", "c", False),
        (4, 7, "3", "d", False),
        (5, 7, "4", "e", True),
        (6, 7, "4#1", "e", False),
    ]


def test_images_in_lists_of_structs(tmp_path: Path) -> None:
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    images = pa.array([[{"bytes": jpeg(0), "path": "a"}, {"bytes": jpeg(1), "path": "b"}], None], kind)
    write(tmp_path / "x.parquet", images=images)
    assert [sample.image for sample in read_all(input=tmp_path)] == [jpeg(0), jpeg(1), None]


def test_each_caption_of_a_list_is_a_sample_of_the_image(tmp_path: Path) -> None:
    captions = pa.array([["a", "b"], ["c"], [], [None]], pa.list_(pa.string()))
    write(tmp_path / "x.parquet", image=[jpeg(i) for i in range(4)], caption=captions, key=list("kkkk"))
    samples = read_all(input=tmp_path)
    assert [(s.row, s.rows, s.key, s.caption, s.image) for s in samples] == [
        (0, 5, "k", "a", jpeg(0)),
        (1, 5, "k#1", "b", jpeg(0)),
        (2, 5, "k", "c", jpeg(1)),
        (3, 5, "k", None, jpeg(2)),
        (4, 5, "k", None, jpeg(3)),
    ]


def test_a_rows_own_uid_is_its_first_samples(tmp_path: Path) -> None:
    captions = pa.array([["a", "b"], ["c"]])
    uids = ["a" * 32, "b" * 32]
    pq.write_table(pa.table({"image": [jpeg(0), jpeg(1)], "caption": captions, "uid": uids}), tmp_path / "a.parquet")
    assert [(sample.key, sample.uid) for sample in read_all(input=tmp_path)] == [
        ("0", uids[0]),
        ("0#1", None),
        ("1", uids[1]),
    ]


def test_columns_may_have_dots_in_their_names(tmp_path: Path) -> None:
    captions = pa.array([["a", "b"], ["c"]])
    pq.write_table(
        pa.table({"the.image": [jpeg(0), jpeg(1)], "text.en": captions, "text": [{"en": "x"}] * 2}),
        tmp_path / "a.parquet",
    )
    samples = read_all(input=tmp_path, image_col="the.image", caption_col="text.en")
    assert [(sample.image, sample.caption) for sample in samples] == [
        (jpeg(0), "a"),
        (jpeg(0), "b"),
        (jpeg(1), "c"),
    ]


def test_of_two_lists_the_nth_image_has_the_nth_caption(tmp_path: Path) -> None:
    images = pa.array([[jpeg(0), jpeg(1)], [jpeg(2), jpeg(3)]], pa.list_(pa.binary()))
    captions = pa.array([["a", "b"], ["c"]], pa.list_(pa.string()))
    write(tmp_path / "x.parquet", images=images, caption=captions)
    samples = read_all(input=tmp_path)
    assert [sample.caption for sample in samples] == ["a", "b", None, None]
    assert reasons(samples) == [None, None, "bad-caption", "bad-caption"]


def test_a_column_of_uris_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "in" / "photos").mkdir(parents=True)
    (tmp_path / "in" / "photos" / "0.jpg").write_bytes(jpeg(0))
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    urls = ["photos/0.jpg", "photos/none.jpg", "../1.jpg", None]
    write(tmp_path / "in" / "x.parquet", url=urls, caption=list("abcd"))
    samples = read_all(input=tmp_path / "in", input_format="parquet")
    assert reasons(samples) == [None, "no-image", "forbidden-uri", None]
    assert [sample.image for sample in samples] == [jpeg(0), None, None, None]
    assert samples[0].kept == {"url": "photos/0.jpg"}
    allowed = read_all(input=tmp_path / "in", input_format="parquet", url_col="url", allow_uri=(str(tmp_path),))
    assert reasons(allowed) == [None, "no-image", None, None]
    assert allowed[2].image == jpeg(1)


def test_downloads_that_img2dataset_logs_as_failed_are_rejected_with_its_message(tmp_path: Path) -> None:
    log = {"status": ["success", "failed_to_download"], "error_message": [None, "HTTP Error 404"]}
    write(tmp_path / "00000.parquet", jpg=pa.array([jpeg(0), None], pa.binary()), caption=["a", "b"], **log)
    (tmp_path / "00000_stats.json").write_text("{}")
    samples = read_all(input=tmp_path)
    assert reasons(samples) == [None, "download"]
    assert samples[1].reject is not None
    assert "failed_to_download: HTTP Error 404" in samples[1].reject.message


def test_columns_that_unpack_to_far_more_than_images_do_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_SMALL", 4 << 20)
    zeros = pa.array([bytes(8 << 20)], pa.binary())
    pq.write_table(pa.table({"image": zeros, "caption": ["a"]}), tmp_path / "x.parquet", compression="zstd")
    write_parquet(tmp_path / "y.parquet", [jpeg(0)], ["b"])
    del zeros
    before = pa.total_allocated_bytes()
    samples = read_all(input=tmp_path)
    assert reasons(samples) == ["bad-parquet", None]
    assert samples[0].reject is not None
    assert "decompression bomb" in samples[0].reject.message
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_pages_that_unpack_to_far_more_than_the_footer_says_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MAX_SMALL", 4 << 20)
    table = pa.table({"image": pa.array([bytes(8 << 20)], pa.binary()), "caption": ["a"]})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    del table
    lie_about_sizes(tmp_path / "x.parquet")
    write_parquet(tmp_path / "y.parquet", [jpeg(0)], ["b"])
    samples = read_all(input=tmp_path)
    assert reasons(samples) == ["bad-parquet", None]
    assert samples[0].reject is not None
    assert "bytes unpack to 83886" in samples[0].reject.message


def lie_about_sizes(file: Path) -> None:
    """Has the footer say that the first column unpacks to 100 bytes."""
    total = pq.read_metadata(file).row_group(0).column(0).total_uncompressed_size
    data = file.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:]
    truth = varint(2 * total)
    assert truth in footer
    file.write_bytes(data[:start] + footer.replace(truth, varint(2 * 100, len(truth))))
    assert pq.read_metadata(file).row_group(0).column(0).total_uncompressed_size == 100


def varint(value: int, length: int = 0) -> bytes:
    """A number as Thrift's compact protocol writes it, in `length` bytes at least."""
    groups = [value & 0x7F]
    while (value := value >> 7) or len(groups) < length:
        groups.append(value & 0x7F)
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def test_few_rows_are_read_at_once_where_each_may_have_a_large_value_of_a_dictionary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column of one image in all rows is little larger than the image, packed and unpacked."""
    image = os.urandom(1 << 20)
    write_parquet(tmp_path / "a.parquet", [image] * 100, ["a"] * 100)
    assert (tmp_path / "a.parquet").stat().st_size < 2 << 20
    monkeypatch.setattr(parquet, "BYTES_PER_READ", 8 << 20)
    sizes: list[int] = []
    real = columns.rows
    monkeypatch.setattr(columns, "rows", lambda batch, *more: sizes.append(batch.nbytes) or real(batch, *more))
    samples = read_all(input=tmp_path)
    assert [sample.image == image for sample in samples] == [True] * 100
    assert max(sizes) <= 8 << 20


@pytest.mark.parametrize(
    "error",
    [MemoryError("x"), OSError("Unknown error: Failed to launch worker thread: Resource temporarily unavailable")],
)
def test_that_memory_runs_out_is_said_with_the_option_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any) -> Any:
        raise error

    write_parquet(tmp_path / "a.parquet", [jpeg(0)], ["a"])
    monkeypatch.setattr(columns, "rows", fails)
    (sample,) = read_all(input=tmp_path)
    assert sample.reject is not None
    assert sample.reject.message == (
        "a.parquet: row group 0: reading needs more memory than --sample-gigabytes allows; "
        "raise it, or write the file with smaller row groups"
    )


def test_a_first_file_that_is_no_parquet_is_refused_with_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(jpeg(0))
    with pytest.raises(InputError, match=r"a\.parquet: not readable as Parquet: looks like JPEG: .*; fix or remove"):
        read_all(input=tmp_path)


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"PAR1 and no footer"])
def test_a_later_file_that_is_no_parquet_is_one_rejected_row(tmp_path: Path, data: bytes) -> None:
    write_parquet(tmp_path / "a.parquet", [jpeg(0)], ["a"])
    (tmp_path / "b.parquet").write_bytes(data)
    write_parquet(tmp_path / "c.parquet", [jpeg(0)], ["a"])
    samples = read_all(input=tmp_path)
    assert [(s.source.path, s.row, s.rows) for s in samples] == [
        ("a.parquet", 0, 1),
        ("b.parquet", 0, 1),
        ("c.parquet", 0, 1),
    ]
    assert reasons(samples) == [None, "bad-parquet", None]


class _Failing(io.BytesIO):
    """A store that fails after so many reads."""

    reads_left = 0
    error: SiglaneError

    def readinto(self, buffer: Any) -> int:
        if self.reads_left == 0:
            raise self.error
        self.reads_left -= 1
        return super().readinto(buffer)


@pytest.mark.parametrize("error", [StorageError("the store is gone"), InputError("changed while it was read")])
@pytest.mark.parametrize("reads", [0, 1, 2])
def test_a_store_that_fails_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int, error: SiglaneError
) -> None:
    images = [os.urandom(100_000) for _ in range(9)]
    file = write_parquet(tmp_path / "a.parquet", images, ["a"] * 9, row_group_size=3)
    (chunk,), options = planned(input=tmp_path)
    failing = _Failing(file.read_bytes())
    failing.reads_left, failing.error = reads, error
    monkeypatch.setattr(storage, "open_file", lambda uri: failing)
    with pytest.raises(type(error), match=str(error)):
        list(parquet.read(chunk, options))


def test_parquet_is_known_by_its_content_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "part-0000", [jpeg(0)], ["a"])
    assert [sample.caption for sample in read_all(input=tmp_path)] == ["a"]
