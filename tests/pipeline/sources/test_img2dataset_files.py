"""The `files` layout of img2dataset: a folder of images a shard, its log beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.sources.reading import read_all, reasons
from tests.samples import jpeg, write_parquet

RECORD = {"key": "000000", "url": "http://h/0", "caption": "c0", "uid": "ab" * 16, "original_width": 900}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """One image that was downloaded and one that was not."""
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "000000.jpg").write_bytes(jpeg(0))
    (tmp_path / "00000" / "000000.txt").write_text("c0")
    (tmp_path / "00000" / "000000.json").write_text(json.dumps(RECORD | {"original_height": 600}))
    log = {"key": ["000000", "000001"], "url": ["http://h/0", "http://h/1"], "status": ["success", "failed_to_resize"]}
    write_parquet(tmp_path / "00000.parquet", [None, None], ["c0", "c1"], error_message=[None, "broken"], **log)
    (tmp_path / "00000_stats.json").write_text("{}")
    return tmp_path


def test_failures_are_rows_of_the_log(shard: Path) -> None:
    samples = read_all(input=shard)
    assert [(s.source.path, s.row, s.rows, s.key, s.caption) for s in samples] == [
        ("00000/000000.jpg", 0, 1, "000000", "c0"),
        ("00000.parquet", 0, 1, "000001", "c1"),
    ]
    assert reasons(samples) == [None, "download"]
    assert [sample.kept for sample in samples] == [
        {"url": "http://h/0", "key": "000000"},
        {"url": "http://h/1", "key": "000001"},
    ]


def test_records_beside_images_give_uid_and_original_size(shard: Path) -> None:
    sample = read_all(input=shard)[0]
    assert (sample.uid, sample.width, sample.height) == ("ab" * 16, 900, 600)


def test_of_the_captions_of_one_record_the_first_alone_has_its_uid(shard: Path) -> None:
    (shard / "00000" / "000000.txt").unlink()
    (shard / "00000" / "000000.json").write_text(json.dumps(RECORD | {"caption": ["a", "b"]}))
    samples = [sample for sample in read_all(input=shard) if sample.reject is None]
    assert [(sample.caption, sample.uid) for sample in samples] == [("a", "ab" * 16), ("b", None)]


def test_a_log_without_its_statistics_is_no_log(shard: Path) -> None:
    (shard / "00000_stats.json").unlink()
    samples = read_all(input=shard, input_format="folder")
    assert {sample.source.path for sample in samples} == {"00000/000000.jpg", "00000.parquet"}
    assert all(sample.kept == {} for sample in samples)
