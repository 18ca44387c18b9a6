"""Rows taken out of a table, and values out of rows: as many as is said, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import table
from pipeline.table import ROW_ADDRESS, TableUri, clear_values, delete_rows
from tests.rows import rows_of
from tests.tables import write_table


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    """Nine rows in three fragments."""
    return table.parse(str(write_table(tmp_path / "t", np.eye(9), np.eye(9))))


def addresses(uri: TableUri, keys: str) -> np.ndarray:
    wanted = ", ".join(f"'{key}'" for key in keys)
    batches = table.open_table(uri).scan(["key"], f"key IN ({wanted})", addresses=True)
    return np.concatenate([batch[ROW_ADDRESS].to_numpy() for batch in batches])


def test_deleted_rows_are_counted_also_where_whole_fragments_go(uri: TableUri) -> None:
    assert delete_rows(uri, addresses(uri, "012478")) == 6
    assert sorted(row["key"] for row in rows_of(f"{uri.database}/{uri.name}").values()) == list("356")
    assert delete_rows(uri, addresses(uri, "6")) == 1


def test_rows_of_a_fragment_that_is_not_there_any_more_are_none(uri: TableUri) -> None:
    lost = addresses(uri, "012")
    assert delete_rows(uri, lost) == 3
    assert delete_rows(uri, lost) == 0
    assert table.open_table(uri).count() == 6


def test_cleared_values_are_null_in_these_rows_alone(uri: TableUri) -> None:
    assert clear_values(uri, addresses(uri, "0458"), ["cosine", "caption"]) == 4
    for row in rows_of(f"{uri.database}/{uri.name}").values():
        is_cleared = row["key"] in "0458"
        assert ((row["cosine"] is None), (row["caption"] is None)) == (is_cleared, is_cleared)
        assert row["logit"] is not None
