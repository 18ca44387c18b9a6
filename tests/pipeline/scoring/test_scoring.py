"""Scoring while runs append to the table and merge its fragments."""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline import scoring, table
from pipeline.errors import TableError
from pipeline.table import Lease, TableUri, columns, compact
from tests.pipeline.table.test_commit import committer, some_rows
from tests.rows import rows_of


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    return table.parse(str(tmp_path / "t"))


def scores(uri: TableUri) -> list[float | None]:
    rows = rows_of(f"{uri.database}/{uri.name}", ["source", "source_row", "cosine"])
    return [row["cosine"] for _, row in sorted(rows.items())]


def test_scoring_goes_on_where_fragments_are_merged_between_its_commits(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 4)
    for start in range(0, 20, 4):
        committer(uri).commit([table.stage(uri, some_rows(start, start + 4))])
    scored = scoring.score_table(uri)
    assert next(scored) == 4
    committer(uri).merge_fragments(run_is_over=True)
    assert sum(scored) == 16
    assert scores(uri) == [1.0] * 20


def test_scoring_goes_on_where_fragments_are_merged_while_it_computes(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 20, 4):
        committer(uri).commit([table.stage(uri, some_rows(start, start + 4))])
    commit = columns.commit_columns
    merges: Iterator[bool] = iter([True, False])

    def merged_before(*arguments: object) -> bool:
        if next(merges, False):
            committer(uri).merge_fragments(run_is_over=True)
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(columns, "commit_columns", merged_before)
    assert sum(scoring.score_table(uri)) == 20
    assert scores(uri) == [1.0] * 20


def test_filling_some_rows_leaves_the_others_what_they_hold_deleted_ones_gone(uri: TableUri) -> None:
    def fill(text: str, where: str) -> int:
        def same(batch: pa.RecordBatch) -> dict[str, pa.Array]:
            return {"text": pa.array([text] * len(batch)), "number": pa.array(range(len(batch)), pa.int32())}

        return sum(table.fill_columns(uri, "test", ["uid"], where, same))

    committer(uri).commit([table.stage(uri, some_rows(0, 6)), table.stage(uri, some_rows(6, 8))])
    table.add_columns(uri, pa.schema([("text", pa.string()), ("number", pa.int32())]))
    assert fill("first", "source_row < 4 OR source_row = 6") == 5
    lance.dataset(uri.dataset).delete("source_row IN (0, 2, 7)")
    assert fill("second", "source_row >= 3") == 4
    rows = rows_of(f"{uri.database}/{uri.name}", ["source", "source_row", "text", "number"])
    assert {place: (row["text"], row["number"]) for (_, place), row in rows.items()} == {
        1: ("first", 1),
        3: ("second", 0),
        4: ("second", 1),
        5: ("second", 2),
        6: ("second", 0),
    }


def test_two_scorings_at_one_time_are_refused(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    monkeypatch.setattr("pipeline.table.lease.HEARTBEAT_SECONDS", 0.2)
    with Lease(uri, "score") as first:
        first.keep()
        with pytest.raises(TableError, match=r"score on .* at work since"):
            list(scoring.score_table(uri))
    assert sum(scoring.score_table(uri)) == 4


def _run(address: str) -> None:
    """A run that commits a few rows at a time, as fast as it can, and merges them as soon as there are 40."""
    compact.ROWS_PER_FRAGMENT = 40
    uri = table.parse(address)
    writer = committer(uri)
    for start in range(10, 400, 10):
        writer.commit([table.stage(uri, some_rows(start, start + 10))])
        writer.merge_fragments()
    writer.merge_fragments(run_is_over=True)


def test_scoring_beside_a_run_that_merges_fragments_loses_no_score_and_no_row(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "ROWS_PER_COMMIT", 30)
    committer(uri).commit([table.stage(uri, some_rows(0, 10))])
    run = mp.get_context("spawn").Process(target=_run, args=(str(uri),))
    run.start()
    scored, beside = 0, 0
    while run.is_alive():
        scored += (now := sum(scoring.score_table(uri)))
        beside += now > 0
    run.join()
    assert run.exitcode == 0
    assert beside > 3, "they did not run at one time"
    scored += sum(scoring.score_table(uri))
    assert scores(uri) == [1.0] * 400
    assert scored == 400, "a merge undid scores"
    assert lance.dataset(uri.dataset).count_rows() == 400
