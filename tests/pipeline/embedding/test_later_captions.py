"""Captions for rows that were embedded without: the table is then as if it had been embedded with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pytest

from pipeline.embedding import plan
from pipeline.embedding.later_captions import CaptionsOptions, fill_captions
from pipeline.embedding.plan import EmbedOptions
from pipeline.errors import InputError, UsageError
from tests.embedding import embed
from tests.pipeline.embedding.test_captions_not_found import csv, jsonl, parquet, photos, tar
from tests.processes import Siglane
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_photos


def fill(data: Path, path: Path, **more: object) -> int:
    return sum(fill_captions(CaptionsOptions.model_validate({"input": str(data), "table": str(path), **more})))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda path: parquet(path, "descr"), "descr"),
        (lambda path: arrow(path), "descr"),
        (jsonl, "words"),
        (csv, "descr"),
        (tar, "notes"),
    ],
)
def test_a_named_column_fills_them(tmp_path: Path, model: Path, make: Callable[[Path], Path], name: str) -> None:
    data = make(tmp_path / "in")
    embed(data, tmp_path / "t", model, captions=False)
    embed(data, tmp_path / "expected", model, caption_col=name)
    assert fill(data, tmp_path / "t", caption_col=name) == 3
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "expected"))
    assert fill(data, tmp_path / "t", caption_col=name) == 0


def test_caption_files_that_were_added_fill_them(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "all", 5)
    shutil.copytree(tmp_path / "all", tmp_path / "in", ignore=shutil.ignore_patterns("*.txt"))
    embed(tmp_path / "in", tmp_path / "t", model)
    for text in (tmp_path / "all").glob("*.txt"):
        shutil.copy2(text, tmp_path / "in")
    with pytest.raises(InputError, match="run `siglane captions`"):
        embed(tmp_path / "in", tmp_path / "t", model)
    assert fill(tmp_path / "in", tmp_path / "t") == 5
    embed(tmp_path / "in", tmp_path / "expected", model)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "expected"))
    assert embed(tmp_path / "in", tmp_path / "t", model).total() == 0


def test_further_captions_of_an_image_are_left_to_the_next_run(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.jpg").write_bytes(jpeg(0))
    embed(tmp_path / "in", tmp_path / "t", model)
    (tmp_path / "in" / "0.json").write_text('{"caption": ["one", "two"]}')
    assert fill(tmp_path / "in", tmp_path / "t") == 1
    embed(tmp_path / "in", tmp_path / "t", model)
    embed(tmp_path / "in", tmp_path / "expected", model)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "expected"))


@pytest.mark.parametrize("lines", ["jsonl", "array"])
def test_further_captions_of_a_list_are_left_to_the_next_run(tmp_path: Path, model: Path, lines: str) -> None:
    records = [{"url": f"images/{row}.jpg", "caption": [f"{row} a", f"{row} b"]} for row in range(3)]
    photos(tmp_path / "in" / "images")
    text = json.dumps(records) if lines == "array" else "\n".join(map(json.dumps, records))
    data = tmp_path / "in" / ("pairs.json" if lines == "array" else "pairs.jsonl")
    data.write_text(text)
    embed(data, tmp_path / "t", model, captions=False)
    fill(data, tmp_path / "t")
    embed(data, tmp_path / "t", model)
    embed(data, tmp_path / "expected", model)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "expected"))


def test_rows_that_captions_would_number_otherwise_get_none(tmp_path: Path, model: Path) -> None:
    data = parquet(tmp_path / "in", "descr", [["one", "two"], ["three"], ["four"]])
    embed(data, tmp_path / "t", model, captions=False)
    with pytest.raises(InputError, match=r"a.parquet row 1: is 'b' in the table, but 'a#1' with captions"):
        fill(data, tmp_path / "t", caption_col="descr")
    assert {row["caption"] for row in rows_of(tmp_path / "t").values()} == {None}


def test_a_source_that_was_begun_without_captions_is_not_gone_on_with(tmp_path: Path, model: Path) -> None:
    data = parquet(tmp_path / "in", "descr")
    embed(data, tmp_path / "t", model, captions=False, limit=2)
    with pytest.raises(UsageError, match=r"a.parquet: 2 of its rows were embedded without captions"):
        embed(data, tmp_path / "t", model, caption_col="descr")
    assert fill(data, tmp_path / "t", caption_col="descr") == 2
    embed(data, tmp_path / "t", model, caption_col="descr")
    embed(data, tmp_path / "expected", model, caption_col="descr")
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "expected"))


def arrow(path: Path) -> Path:
    path.mkdir()
    table = pa.table({"image": pa.array([jpeg(row) for row in range(3)]), "descr": ["one", "two", "three"]})
    pa.feather.write_feather(table, path / "a.feather", compression="uncompressed")
    return path


def test_rows_without_captions_in_the_input_stay_as_they_are(tmp_path: Path, model: Path) -> None:
    data = parquet(tmp_path / "in", "descr", ["a red barn", None, " "])
    embed(data, tmp_path / "t", model, captions=False)
    fill(data, tmp_path / "t", caption_col="descr")
    captions = [row["caption"] for _, row in sorted(rows_of(tmp_path / "t").items())]
    assert captions == ["a red barn", None, None]


def test_an_image_that_changed_too_is_refused(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    for text in (tmp_path / "in").glob("*.txt"):
        text.rename(text.with_suffix(".later"))
    (tmp_path / "in" / "photo0001.later").unlink()
    (tmp_path / "in" / "photo0000.later").rename(tmp_path / "text")
    embed(tmp_path / "in", tmp_path / "t", model)
    (tmp_path / "text").rename(tmp_path / "in" / "photo0000.txt")
    (tmp_path / "in" / "photo0000.jpg").write_bytes(jpeg(77, (50, 30)))
    with pytest.raises(InputError, match=r"photo0000.jpg: changed since it was embedded"):
        fill(tmp_path / "in", tmp_path / "t")


def test_an_input_without_captions_is_refused(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.jpg").write_bytes(jpeg(0))
    embed(tmp_path / "in", tmp_path / "t", model)
    with pytest.raises(UsageError, match="has no captions to add"):
        fill(tmp_path / "in", tmp_path / "t")


def test_a_run_with_captions_names_the_rows_without(tmp_path: Path, model: Path) -> None:
    data = parquet(tmp_path / "in", "descr")
    embed(data, tmp_path / "t", model, captions=False)
    asked = {"input": str(data), "table": str(tmp_path / "t"), "model": str(model), "caption_col": "descr"}
    assert plan.plan(EmbedOptions.model_validate(asked)).without_captions == 3
    fill(data, tmp_path / "t", caption_col="descr")
    assert plan.plan(EmbedOptions.model_validate(asked)).without_captions == 0


def test_verify_notices_rows_whose_captions_are_in_the_input(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    parquet(tmp_path / "in", "descr")
    siglane("embed", "--input", "in", "--table", "db/t", "--model", model, "--local", "--no-captions")
    check = ["verify", "--table", "db/t", "--input", "in", "--sample", 3]
    assert siglane(*check, "--no-captions")["ok"]
    process = siglane.start(*check, "--caption-col", "descr", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    (problem,) = json.loads(out)["problems"]
    assert (problem["check"], problem["count"]) == ("sample", 3)
    assert "has no text_vector" in problem["examples"][0]


def test_the_command(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    parquet(tmp_path / "in", "descr")
    siglane("embed", "--input", "in", "--table", "db/t", "--model", model, "--local", "--no-captions")
    filled = siglane("captions", "--input", "in", "--table", "db/t", "--caption-col", "descr")
    assert (filled["captioned"], filled["left"]) == (3, 0)
