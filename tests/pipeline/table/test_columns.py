"""Columns filled beside other jobs: what they have changed meanwhile stays as they left it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.errors import TableError
from pipeline.table import TableUri, columns, fill_columns, lease, remove_rows
from tests.processes import wait_for
from tests.rows import rows_of
from tests.tables import in_fragments, write_table

WHERE = f"{schema.STATUS} = '{schema.SUCCESS}' AND quality IS NULL"


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    """Twelve rows in three fragments, with a column to fill."""
    whole = write_table(tmp_path / "whole", np.eye(12), np.eye(12))
    uri = in_fragments(whole, tmp_path / "t", rows=4)
    table.add_columns(uri, pa.schema([("quality", pa.float32())]))
    return uri


def ones(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return {"quality": pa.array([1.0] * len(batch), pa.float32())}


def filled(uri: TableUri) -> list[tuple[str, float | None]]:
    """(status, value) of each row, by its place in the input."""
    rows = rows_of(f"{uri.database}/{uri.name}")
    return [(row["status"], row["quality"]) for _, row in sorted(rows.items())]


def test_a_row_removed_while_its_column_is_computed_stays_removed(uri: TableUri) -> None:
    gone = sorted(rows_of(f"{uri.database}/{uri.name}").items())[5][1]["uid"]
    removed = []

    def compute(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        if not removed:
            removed.append(remove_rows(uri, f"uid = '{gone}'"))
        return ones(batch)

    assert sum(fill_columns(uri, "test", ["uid"], WHERE, compute)) == 11
    assert removed == [1]
    assert filled(uri) == [*[("success", 1.0)] * 5, ("removed", None), *[("success", 1.0)] * 6]


def test_what_another_job_has_filled_meanwhile_is_kept(uri: TableUri) -> None:
    table.add_columns(uri, pa.schema([("other", pa.float32())]))
    others = []

    def compute(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        if not others:
            others.extend(fill_columns(uri, "other", ["uid"], "other IS NULL", lambda b: {"other": ones(b)["quality"]}))
        return ones(batch)

    assert sum(fill_columns(uri, "test", ["uid"], WHERE, compute)) == sum(others) == 12
    assert table.open_table(uri).count("other = 1 AND quality = 1") == 12


def test_each_commit_takes_about_as_many_rows_as_one_may(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 5)
    assert list(fill_columns(uri, "test", ["uid"], WHERE, ones)) == [8, 4]
    assert filled(uri) == [("success", 1.0)] * 12


def test_a_job_whose_lease_was_taken_over_commits_no_more(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 1)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    filling = fill_columns(uri, "test", ["uid"], WHERE, ones)
    assert next(filling) == 4
    dataset = lance.dataset(uri.dataset)
    ((key, holder),) = lease.read_holders(table.open_table(uri)).items()
    dataset.update_config({key: lease.to_json(replace(holder, id="another", host="elsewhere"))})
    wait_for(lambda: not any(thread.name == "lease" for thread in threading.enumerate()), "it does not notice")
    with pytest.raises(TableError, match="taken over by test on elsewhere"):
        next(filling)
    assert table.open_table(uri).count("quality IS NOT NULL") == 4


def test_a_column_of_another_type_is_refused(uri: TableUri) -> None:
    with pytest.raises(TableError, match="its column 'quality' has type float, but string is needed"):
        table.add_columns(uri, pa.schema([("quality", pa.string())]))
