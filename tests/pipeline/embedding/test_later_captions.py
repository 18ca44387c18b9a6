"""Captions for rows that were embedded without: the table is then as if it had been embedded with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.embedding import plan
from pipeline.embedding.later_captions import CaptionsOptions, fill_captions
from pipeline.embedding.plan import EmbedOptions
from pipeline.errors import InputError, UsageError
from tests.embedding import embed
from tests.pipeline.embedding.test_captions_not_found import csv, jsonl, parquet, tar
from tests.processes import Siglane
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_photos


def fill(data: Path, path: Path, **more: object) -> int:
    return sum(fill_captions(CaptionsOptions.model_validate({"input": str(data), "table": str(path), **more})))


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda path: parquet(path, "descr"), "descr"), (jsonl, "words"), (csv, "descr"), (tar, "notes")],
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
