"""Removed pairs leave one tombstone each, however they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.table import Named, TableUri, remove, remove_rows
from tests.rows import rows_of
from tests.tables import in_fragments, write_table


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    """Nine rows in five fragments."""
    return in_fragments(write_table(tmp_path / "whole", np.eye(9), np.eye(9)), tmp_path / "t", rows=2)


def removed(uri: TableUri) -> list[str]:
    rows = rows_of(f"{uri.database}/{uri.name}")
    assert len(rows) == 9
    return sorted(row["key"] for row in rows.values() if row["status"] == schema.REMOVED)


def test_a_condition_with_or_removes_nothing_twice(uri: TableUri) -> None:
    where = "key = '1' OR key = '4'"
    assert table.count_rows(uri, where) == 2
    assert remove_rows(uri, where) == 2
    assert (table.count_rows(uri, where), remove_rows(uri, where)) == (0, 0)
    assert removed(uri) == ["1", "4"]


def test_rows_removed_in_several_groups_leave_a_tombstone_each(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remove, "ROWS_PER_FRAGMENT", 3)
    assert remove_rows(uri, "key <> '8'") == 8
    assert removed(uri) == list("01234567")


def test_with_uids_and_a_condition_both_must_hold(uri: TableUri) -> None:
    uids = {row["key"]: row["uid"] for row in rows_of(f"{uri.database}/{uri.name}").values()}
    asked = Named([schema.UID], pa.array([uids[key] for key in "258"]))
    assert remove_rows(uri, "key IN ('1', '2', '8')", asked) == 2
    assert removed(uri) == ["2", "8"]
