"""Captions of ten megabytes and captions that are not UTF-8 cost one row each, whatever format they stand in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from tests.pipeline.sources.reading import read_all, reasons
from tests.samples import jpeg, write_tar

CAPTIONS = (b"good", b"x" * (10 << 20), b"caf\xe9", b"also good")
REASONS = [None, "caption-too-long", "bad-caption", None]


def text_files(folder: Path, captions: Sequence[bytes]) -> None:
    for index, caption in enumerate(captions):
        (folder / f"{index}.jpg").write_bytes(jpeg(index))
        (folder / f"{index}.txt").write_bytes(caption)


def records(folder: Path, captions: Sequence[bytes]) -> None:
    for index, caption in enumerate(captions):
        (folder / f"{index}.jpg").write_bytes(jpeg(index))
        (folder / f"{index}.json").write_bytes(b'{"caption": "' + caption + b'"}')


def tar(folder: Path, captions: Sequence[bytes]) -> None:
    members = [(f"{i}.{kind}", d) for i, text in enumerate(captions) for kind, d in (("jpg", jpeg(i)), ("txt", text))]
    write_tar(folder / "x.tar", members)


def columns(captions: Sequence[bytes]) -> pa.Table:
    """The bytes of the texts are not looked at, as careless writers do not."""
    texts = pa.Array.from_buffers(pa.string(), len(captions), pa.array(captions, pa.binary()).buffers())
    return pa.table({"image": pa.array([jpeg(i) for i in range(len(captions))], pa.binary()), "caption": texts})


def parquet(folder: Path, captions: Sequence[bytes]) -> None:
    pq.write_table(columns(captions), folder / "x.parquet")


def jsonl(folder: Path, captions: Sequence[bytes]) -> None:
    lines = [b'{"url": "0.bin", "caption": "' + caption + b'"}\n' for caption in captions]
    (folder / "0.bin").write_bytes(jpeg(0))
    (folder / "x.jsonl").write_bytes(b"".join(lines))


def csv_file(folder: Path, captions: Sequence[bytes]) -> None:
    (folder / "0.bin").write_bytes(jpeg(0))
    (folder / "x.csv").write_bytes(b"url,caption\n" + b"".join(b"0.bin," + caption + b"\n" for caption in captions))


@pytest.mark.parametrize("write", [text_files, records, tar, parquet, jsonl, csv_file])
def test_a_caption_of_ten_megabytes_or_of_latin_1_costs_its_row_alone(
    tmp_path: Path, write: Callable[[Path, Sequence[bytes]], None]
) -> None:
    write(tmp_path, CAPTIONS)
    samples = sorted(read_all(input=tmp_path), key=lambda sample: (sample.source.path, sample.row))
    found = ["bad-caption" if reason == "bad-record" else reason for reason in reasons(samples)]
    assert found == REASONS
    assert [sample.caption for sample in samples] == ["good", None, None, "also good"]


def test_in_lance_a_caption_that_is_not_utf8_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Lance gives no row of a page that holds one."""
    lance.write_dataset(columns(CAPTIONS[:2]), tmp_path / "long")
    assert reasons(read_all(input=tmp_path / "long")) == REASONS[:2]
    lance.write_dataset(columns(CAPTIONS[2:]), tmp_path / "latin")
    with pytest.raises(InputError, match=r"data/.*\.lance: .*invalid utf-8.*; fix the dataset"):
        read_all(input=tmp_path / "latin")
