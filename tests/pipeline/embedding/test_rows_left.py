"""How many rows a plan says are left, from what, and when it says nothing."""

from __future__ import annotations

from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline.embedding import plan
from pipeline.embedding.plan import EmbedOptions
from pipeline.embedding.rows_left import FILES, RowsLeft, rows_left
from tests.embedding import embed
from tests.samples import jpeg, write_parquet, write_photos, write_tar


def left(tmp_path: Path, model: Path, **more: object) -> RowsLeft:
    options = {"input": str(tmp_path / "in"), "table": str(tmp_path / "t"), "model": str(model), **more}
    return rows_left(plan.plan(EmbedOptions.model_validate(options)))


def parquet(folder: Path, files: int, rows: int) -> None:
    for file in range(files):
        write_parquet(folder / f"{file:03d}.parquet", [jpeg(row) for row in range(rows)], ["a"] * rows)


def test_a_folder_of_images_is_counted_by_its_listing(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 5)
    assert left(tmp_path, model) == RowsLeft(5, True, "the listing")
    (tmp_path / "in" / "photo0004.txt").unlink()
    (tmp_path / "in" / "photo0004.json").write_text('{"caption": ["a", "b", "c"]}')
    found = left(tmp_path, model)
    assert (found.is_exact, found.known_from) == (False, "the listing")


def test_a_lance_dataset_is_counted_by_its_listing(tmp_path: Path, model: Path) -> None:
    rows = pa.table({"image": pa.array([jpeg(row) for row in range(7)], pa.binary()), "caption": ["a"] * 7})
    lance.write_dataset(rows, tmp_path / "in", max_rows_per_file=4)
    lance.dataset(tmp_path / "in").delete("_rowid = 2")
    assert left(tmp_path, model) == RowsLeft(6, True, "the listing")


def test_few_parquet_files_are_counted_by_their_footers(tmp_path: Path, model: Path) -> None:
    parquet(tmp_path / "in", 3, 4)
    (tmp_path / "in" / "broken.parquet").write_bytes(b"no Parquet")
    assert left(tmp_path, model) == RowsLeft(13, True, "the footers of 4 of 4 files")
    embed(tmp_path / "in", tmp_path / "t", model, limit=6)
    assert left(tmp_path, model) == RowsLeft(7, True, "the footers of 3 of 3 files")


def test_many_parquet_files_are_estimated(tmp_path: Path, model: Path) -> None:
    parquet(tmp_path / "in", FILES + 4, 3)
    found = left(tmp_path, model)
    assert (found.is_exact, found.known_from) == (False, f"the footers of {FILES} of {FILES + 4} files")
    assert found.rows == pytest.approx(3 * (FILES + 4), abs=2)


def test_lists_of_captions_count_each(tmp_path: Path, model: Path) -> None:
    captions = pa.array([["one", "two"], ["three"], ["four", "five"]])
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(row) for row in range(3)], captions)
    assert left(tmp_path, model).rows == 5


@pytest.mark.parametrize("limit", [3, 100])
def test_a_limit_is_counted(limit: int, tmp_path: Path, model: Path) -> None:
    write_tar(tmp_path / "in" / "a.tar", [(f"{row}{kind}", jpeg(row)) for row in range(5) for kind in (".jpg", ".txt")])
    assert left(tmp_path, model, limit=limit) == RowsLeft(min(limit, 5), True, "--limit")


def test_tars_and_csvs_say_nothing_before_they_are_read(tmp_path: Path, model: Path) -> None:
    write_tar(tmp_path / "in" / "a.tar", [("0.jpg", jpeg(0)), ("0.txt", b"a")])
    assert left(tmp_path, model) == RowsLeft(None, False, None)
    (tmp_path / "in" / "a.tar").unlink()
    (tmp_path / "in" / "a.csv").write_text("url,caption\nx.jpg,a\n")
    assert left(tmp_path, model) == RowsLeft(None, False, None)
