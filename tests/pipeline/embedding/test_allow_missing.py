"""Rows that lack their image or their caption, embedded as far as they go."""

from __future__ import annotations

from pathlib import Path

from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet


def test_rows_that_lack_one_side_are_embedded_where_that_is_allowed(tmp_path: Path, model: Path) -> None:
    images = [jpeg(0), None, jpeg(2), jpeg(3), None]
    write_parquet(tmp_path / "x.parquet", images, ["a", "b", None, "  ", None])
    embed(tmp_path / "x.parquet", tmp_path / "strict", model)
    embed(tmp_path / "x.parquet", tmp_path / "lenient", model, allow_missing=True)

    strict = [row for _, row in sorted(rows_of(tmp_path / "strict").items())]
    assert [row["reason"] for row in strict] == [None, "no-image", "no-caption", "no-caption", "no-image"]
    lenient = [row for _, row in sorted(rows_of(tmp_path / "lenient").items())]
    assert [row["reason"] for row in lenient] == [None, None, None, None, "no-image"]
    sides = [(row["image_vector"] is not None, row["text_vector"] is not None) for row in lenient]
    assert sides == [(True, True), (False, True), (True, False), (True, False), (False, False)]
