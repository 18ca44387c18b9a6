"""Ties at a cut: kept are the smallest uids, and of one uid the first by source and row, however the table lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import table
from pipeline.filtering import Selection, filter_table, one_cut
from pipeline.filtering import scores as scanned
from tests.tables import cosines_as, write_table


@pytest.mark.parametrize("rows_per_batch", [1, 2, 1 << 16])
def test_of_equal_rows_those_of_the_smallest_uids_and_first_places_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_batch: int
) -> None:
    monkeypatch.setattr(scanned, "ROWS_PER_BATCH", rows_per_batch)
    monkeypatch.setattr("pipeline.filtering.kept.ROWS_PER_BATCH", rows_per_batch)
    rng = np.random.default_rng(4)
    places = [(source, row) for source in ("a.parquet", "b.parquet") for row in range(5)]
    shuffled = [places[at] for at in rng.permutation(len(places))]
    own = [f"{number:032x}" for number in rng.integers(0, 3, len(places))]
    path = write_table(
        tmp_path / "t",
        *cosines_as([0.5] * len(places)),
        uid=own,
        source=[source for source, _ in shuffled],
        source_row=[row for _, row in shuffled],
    )
    opened = table.open_table(table.parse(str(path)))
    ranked = sorted((uid, *place) for uid, place in zip(own, shuffled, strict=True))
    for keep in range(len(places) + 1):
        output = tmp_path / str(keep)
        found = filter_table(opened, Selection(one_cut("cosine", top_fraction=keep / len(places))), output)
        columns = ["uid", "source", "source_row"]
        kept = pq.ParquetDataset(sorted(output.glob("*.parquet"))).read(columns).to_pylist()
        assert sorted(tuple(row.values()) for row in kept) == ranked[:keep]
        assert found.kept == keep
