"""Embedding a part of an input: its first rows, or a sample. Every run chooses the same, and a later one goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline.embedding import plan
from pipeline.embedding.plan import EmbedOptions
from pipeline.stages import decode
from tests.embedding import embed
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet, write_photos, write_tar

Write = Callable[[Path], Path]


def folder(place: Path) -> Path:
    """Twelve photos, one of them with a list of captions."""
    write_photos(place, 12)
    (place / "photo0003.txt").unlink()
    (place / "photo0003.json").write_text(json.dumps({"caption": ["one", "two", "three"]}))
    return place


def parquet(place: Path) -> Path:
    for file in range(3):
        images = [None if index == 2 else jpeg(file * 5 + index) for index in range(5)]
        write_parquet(place / f"{file}.parquet", images, ["a caption"] * 5, row_group_size=2)
    return place


def tars(place: Path) -> Path:
    for file in range(3):
        members = [
            (f"{i}.{kind}", data) for i in range(5) for kind, data in (("jpg", jpeg(file * 5 + i)), ("txt", b"c"))
        ]
        write_tar(place / f"{file}.tar", members)
    return place


def manifest(place: Path) -> Path:
    write_photos(place / "images", 12)
    lines = [json.dumps({"url": f"images/photo{i:04d}.jpg", "caption": "c"}) for i in range(12)]
    for file in range(2):
        (place / f"{file}.jsonl").write_text("\n".join(lines[file * 6 : file * 6 + 6]))
    return place / "*.jsonl"


def lance_dataset(place: Path) -> Path:
    """Fragments with gaps; their names, and so the sample, differ from run to run."""
    images, count = [jpeg(index) for index in range(3)], 60
    rows = pa.table({"image": [images[n % 3] for n in range(count)], "caption": ["c"] * count, "n": range(count)})
    lance.write_dataset(rows, f"{place}.lance", max_rows_per_file=20).delete("n IN (1, 2, 28)")
    return Path(f"{place}.lance")


EVERY = pytest.mark.parametrize("write", [folder, parquet, tars, manifest, lance_dataset])


def planned(data: Path, table: Path, model: Path, **more: object) -> plan.EmbedPlan:
    return plan.plan(
        EmbedOptions.model_validate({"input": str(data), "table": str(table), "model": str(model), **more})
    )


def in_order(data: Path, table: Path, model: Path) -> list[tuple[str, int]]:
    """(source, source_row) of the whole input, in the plan's order."""
    whole = planned(data, table, model)
    order = {source.path: place for place, source in enumerate(s for chunk in whole.chunks for s in chunk.sources)}
    photos = whole.decode(decode.chunk_table(list(whole.chunks)))
    pairs = (pair for batch in photos for row in batch["pairs"].to_pylist() for pair in row)
    return sorted(((pair["source"], pair["source_row"]) for pair in pairs), key=lambda row: (order[row[0]], row[1]))


@EVERY
def test_a_limit_takes_the_first_rows_and_a_larger_one_goes_on(tmp_path: Path, model: Path, write: Write) -> None:
    data, table = write(tmp_path / "in"), tmp_path / "t"
    first = in_order(data, table, model)
    for limit in (1, 7, 7, 8):
        embed(data, table, model, limit=limit)
        assert set(rows_of(table)) == set(first[:limit])
    assert not planned(data, table, model, limit=8).chunks
    embed(data, table, model, limit=1000)
    assert set(rows_of(table)) == set(first)
    assert not planned(data, table, model, limit=1000).chunks


@EVERY
def test_a_sample_is_always_the_same_and_a_later_run_embeds_the_rest(tmp_path: Path, model: Path, write: Write) -> None:
    data, table = write(tmp_path / "in"), tmp_path / "t"
    everything = in_order(data, table, model)
    embed(data, table, model, sample_fraction=0.4)
    few = set(rows_of(table))
    assert 0 < len(few) < len(everything)
    assert embed(data, table, model, sample_fraction=0.4) == {}
    embed(data, table, model, sample_fraction=0.8)
    more = set(rows_of(table))
    assert few < more < set(everything)
    # rows beyond the sample do not make it whole
    embed(data, tmp_path / "u", model, limit=4)
    embed(data, tmp_path / "u", model, sample_fraction=0.8)
    assert set(rows_of(tmp_path / "u")) == more | set(everything[:4])
    embed(data, table, model)
    assert set(rows_of(table)) == set(everything)
    assert not planned(data, table, model).chunks


def test_a_sample_of_numbered_rows_is_seen_to_be_whole_without_reading(tmp_path: Path, model: Path) -> None:
    data = parquet(tmp_path / "in")
    embed(data, tmp_path / "t", model, sample_fraction=0.5)
    assert planned(data, tmp_path / "t", model, sample_fraction=0.5).chunks == []


def test_the_first_rows_of_a_sample(tmp_path: Path, model: Path) -> None:
    data = parquet(tmp_path / "in")
    embed(data, tmp_path / "t", model, sample_fraction=0.6)
    embed(data, tmp_path / "u", model, sample_fraction=0.6, limit=3)
    assert list(rows_of(tmp_path / "u")) == list(rows_of(tmp_path / "t"))[:3]
    assert embed(data, tmp_path / "u", model, sample_fraction=0.6, limit=3) == {}


def test_a_run_that_fails_within_a_limit_ends_in_the_same_rows(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = parquet(tmp_path / "in")
    embed(data, tmp_path / "t", model, limit=8)
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 2)
    whole, calls = decode.decode, iter(range(100))

    def fails(*arguments: object, **more: object) -> object:
        if next(calls) == 5:
            raise OSError("the store is gone")
        return whole(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "decode", fails)
    with pytest.raises(OSError, match="the store is gone"):
        embed(data, tmp_path / "u", model, limit=8)
    assert 0 < len(rows_of(tmp_path / "u")) < 8
    embed(data, tmp_path / "u", model, limit=8)
    assert_same_rows(rows_of(tmp_path / "u"), rows_of(tmp_path / "t"))


@pytest.mark.parametrize("part", [{"limit": 3}, {"sample_fraction": 0.5}])
def test_sources_are_not_replaced_in_part(part: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="--replace-changed replaces complete sources"):
        EmbedOptions.model_validate({"input": "in", "table": "t", "model": "m", "replace_changed": True, **part})


def test_rejects_are_not_tried_again_up_to_a_limit() -> None:
    with pytest.raises(ValueError, match="--retry-rejected retries rows of the whole table"):
        EmbedOptions.model_validate({"input": "in", "table": "t", "model": "m", "retry_rejected": [], "limit": 3})
