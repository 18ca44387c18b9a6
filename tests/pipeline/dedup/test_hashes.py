"""Perceptual hashes are filled in commit by commit, and counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import originals, table
from pipeline.dedup import hashes
from pipeline.sources import SourceOptions
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet


def test_hashes_of_several_commits_are_those_of_one(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in range(2):
        images = [*(jpeg(10 * file + n) for n in range(4)), None]
        write_parquet(tmp_path / "in" / f"{file}.parquet", images, [f"c{n}" for n in range(5)], row_group_size=2)
    source = SourceOptions(input=(str(tmp_path / "in"),))
    for name in ("once", "often"):
        embed(tmp_path / "in", tmp_path / name, model, allow_missing=True)
    assert hashes.fill_hashes(table.parse(str(tmp_path / "once")), source) == 8
    monkeypatch.setattr(hashes, "IMAGES_PER_COMMIT", 3)
    monkeypatch.setattr(originals, "_ROWS_AT_ONCE", 2)
    assert hashes.fill_hashes(table.parse(str(tmp_path / "often")), source) == 8
    once, often = (
        {place: row["image_hash"] for place, row in rows_of(tmp_path / name).items()} for name in ("once", "often")
    )
    assert once == often
    assert len(set(once.values())) == 9  # of eight images, and none of the pairs without
    assert hashes.fill_hashes(table.parse(str(tmp_path / "often")), None) == 0
