"""Commits that replace rows: changed sources whole, rejected rows one by one, and removed pairs by tombstones."""

from __future__ import annotations

import multiprocessing as mp
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.schema import REJECTED, REMOVED, SUCCESS
from pipeline.table import Committer, Named, Replacing, Staged, TableUri, WholeSources
from tests.pipeline.table.test_commit import IDENTITY, some_rows
from tests.rows import Rows, rows_of

NEW = "2-2"
CHANGED = Replacing({"a.parquet": NEW})
RETRY = Replacing(rejects=True)


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    return table.parse(str(tmp_path / "db" / "t"))


def committer(uri: TableUri, replacing: Replacing | None = None) -> Committer:
    return Committer(uri, schema.table_schema(IDENTITY), table.open_if_exists(uri), replacing)


def rows(uri: TableUri) -> Rows:
    return rows_of(f"{uri.database}/{uri.name}")


def versions(uri: TableUri) -> dict[tuple[str, int], str]:
    return {place: row["source_version"] for place, row in rows(uri).items()}


def statuses(uri: TableUri) -> list[str]:
    return [row["status"] for _, row in sorted(rows(uri).items())]


def staged(uri: TableUri, *tables: pa.Table) -> list[Staged]:
    return [table.stage(uri, rows, by_source=True) for rows in tables]


def test_a_changed_source_goes_and_comes_in_one_commit(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 6)), table.stage(uri, some_rows(0, 3, "b.parquet"))])
    before = table.open_table(uri).version
    new = staged(uri, some_rows(0, 2, version=NEW), some_rows(2, 4, version=NEW))
    assert committer(uri, CHANGED).commit(new) == {(SUCCESS, None): 4}
    assert versions(uri) == {("a.parquet", row): NEW for row in range(4)} | {
        ("b.parquet", row): "1-1" for row in range(3)
    }
    assert table.open_table(uri).version == before + 1


def test_a_source_that_has_become_empty_goes(uri: TableUri) -> None:
    """Also where nothing is left in the table, to which later runs add again."""
    committer(uri).commit([table.stage(uri, some_rows(0, 6))])
    assert committer(uri, CHANGED).commit(WholeSources(["a.parquet"]).rest()) == {}
    assert rows(uri) == {}
    first, second = committer(uri), committer(uri)
    first.commit([table.stage(uri, some_rows(0, 3, "b.parquet"))])
    assert second.commit([table.stage(uri, some_rows(1, 5, "b.parquet"))]) == {(SUCCESS, None): 2}
    assert len(rows(uri)) == 5


def test_a_source_that_has_become_empty_goes_though_another_run_was_quicker(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 6))])
    replacing = committer(uri, CHANGED)
    committer(uri).commit([table.stage(uri, some_rows(0, 2, "b.parquet"))])
    replacing.commit(WholeSources(["a.parquet"]).rest())
    assert set(rows(uri)) == {("b.parquet", 0), ("b.parquet", 1)}


def test_a_source_waits_until_it_is_whole_and_for_what_shares_a_fragment_with_it(uri: TableUri) -> None:
    whole = WholeSources(["a", "b", "c", "unseen"])

    def item(**sources: tuple[int, int | None]) -> Staged:
        return Staged((), {}, sources=sources)

    plain = Staged((), {(SUCCESS, None): 3})
    first, second, third, fourth = item(a=(2, None)), item(a=(1, 3), b=(1, 2)), item(c=(4, 4)), item(b=(1, 2))
    assert whole.released_by(plain) == [plain]
    assert whole.released_by(first) == []
    assert whole.released_by(second) == []
    assert whole.released_by(third) == [third]
    assert whole.released_by(fourth) == [first, second, fourth]
    assert whole.rest() == [Staged((), sources={"unseen": (0, 0)})]


def test_a_source_without_a_known_end_comes_at_the_end_of_the_run() -> None:
    whole = WholeSources(["a"])
    item = Staged((), sources={"a": (2, None)})
    assert whole.released_by(item) == []
    assert whole.rest() == [item]
    assert whole.rest() == []


def test_of_two_runs_that_replace_one_source_one_does(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 6))])
    first, second = committer(uri, CHANGED), committer(uri, CHANGED)
    new, same = staged(uri, some_rows(0, 4, version=NEW), some_rows(0, 4, version=NEW))
    assert first.commit([new]).total() == 4
    assert second.commit([same]).total() == 0
    assert versions(uri) == {("a.parquet", row): NEW for row in range(4)}


def test_a_run_on_the_old_version_adds_nothing_to_the_new_one(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 6))])
    old, replacing = committer(uri), committer(uri, CHANGED)
    replacing.commit(staged(uri, some_rows(0, 2, version=NEW)))
    assert old.commit([table.stage(uri, some_rows(6, 9)), table.stage(uri, some_rows(0, 2, "b"))]).total() == 2
    assert versions(uri) == {("a.parquet", 0): NEW, ("a.parquet", 1): NEW, ("b", 0): "1-1", ("b", 1): "1-1"}


def test_a_rejected_row_is_replaced_by_its_retry_and_no_other_row_is(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 3)), table.stage(uri, some_rows(3, 6, status=REJECTED))])
    first, second = committer(uri, RETRY), committer(uri, RETRY)
    again = [table.stage(uri, some_rows(3, 4)), table.stage(uri, some_rows(4, 6, status=REJECTED))]
    assert first.commit(again) == {(SUCCESS, None): 1, (REJECTED, None): 2}
    assert statuses(uri) == [SUCCESS] * 4 + [REJECTED] * 2
    assert second.commit([table.stage(uri, some_rows(2, 5))]) == {(SUCCESS, None): 1}
    assert statuses(uri) == [SUCCESS] * 5 + [REJECTED]


def test_a_removed_row_is_a_tombstone_that_every_run_leaves_in_place(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4)), table.stage(uri, some_rows(4, 6, status=REJECTED))])
    embedding, retrying = committer(uri), committer(uri, RETRY)
    assert table.count_rows(uri, "source_row IN (1, 5)") == 2
    assert statuses(uri) == [SUCCESS] * 4 + [REJECTED] * 2
    assert table.remove_rows(uri, "source_row IN (1, 5)") == 2
    assert table.remove_rows(uri, "source_row IN (1, 5)") == 0
    assert embedding.commit([table.stage(uri, some_rows(1, 2))]) == {}
    assert retrying.commit([table.stage(uri, some_rows(4, 6))]).total() == 1
    assert statuses(uri) == [SUCCESS, REMOVED, SUCCESS, SUCCESS, SUCCESS, REMOVED]
    row = rows(uri)["a.parquet", 1]
    kept = {"uid", "key", "source", "source_version", "source_row", "source_rows", "status"}
    assert {name for name, value in row.items() if value is not None} == kept


def test_a_pair_removed_while_its_source_is_being_replaced_stays_removed(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    replacing = committer(uri, CHANGED)
    new = staged(uri, some_rows(0, 5, version=NEW))
    table.remove_rows(uri, None, Named([schema.UID], pa.array([schema.make_uid("a.parquet", "2")])))
    assert replacing.commit(new) == {(SUCCESS, None): 4, (REMOVED, None): 1}
    assert statuses(uri) == [SUCCESS, SUCCESS, REMOVED, SUCCESS, SUCCESS]
    assert rows(uri)["a.parquet", 2]["image_vector"] is None
    assert set(versions(uri).values()) == {NEW}


def test_removing_and_replacing_keep_scores_and_indexes(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 300)), table.stage(uri, some_rows(0, 300, "b.parquet"))])
    table.open_table(uri).lance.create_scalar_index("uid", "BTREE")

    def scores(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        return {schema.COSINE: pa.array([0.5] * batch.num_rows, pa.float32())}

    assert sum(table.fill_columns(uri, "score", [schema.UID], "cosine IS NULL", scores)) == 600
    committer(uri, CHANGED).commit(staged(uri, some_rows(0, 200, version=NEW)))
    table.remove_rows(uri, "source = 'b.parquet' AND source_row < 10")
    opened = table.open_table(uri)
    assert opened.count("cosine = 0.5") == 290
    assert opened.lance.stats.index_stats("uid_idx")["num_indexed_rows"] == 290
    uid = schema.make_uid("b.parquet", "5")
    assert [row["status"] for batch in opened.scan(["status"], f"uid = '{uid}'") for row in batch.to_pylist()] == [
        REMOVED
    ]


def _race(address: str, role: int, barrier: object) -> None:
    """Adds, replaces, retries and removes, as fast as it can: each role on rows that another one writes too."""
    uri = table.parse(address)
    plain, retry, replace = (committer(uri, replacing) for replacing in (None, RETRY, CHANGED))
    barrier.wait()  # type: ignore[attr-defined]
    for row in range(12):
        status = REJECTED if row % 3 == 0 else SUCCESS
        if role == 0:
            plain.commit([table.stage(uri, some_rows(row, row + 1, "b.parquet", status=status))])
        elif role == 1:
            retry.commit([table.stage(uri, some_rows(row, row + 1, "b.parquet"))])
        elif role == 2:
            replace.commit(staged(uri, some_rows(0, 5, version=NEW)))
        else:
            table.remove_rows(uri, f"source_row = {row} AND source = 'b.parquet'")


def test_processes_that_add_retry_replace_and_remove_at_one_time_leave_each_row_once(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 8))])
    context = mp.get_context("spawn")
    barrier = context.Barrier(5)
    roles = [context.Process(target=_race, args=(str(uri), role, barrier)) for role in (0, 1, 2, 2, 3)]
    for process in roles:
        process.start()
    for process in roles:
        process.join()
        assert process.exitcode == 0
    found = rows(uri)  # fails if a row is there twice
    assert {place for place in found if place[0] == "a.parquet"} == {("a.parquet", row) for row in range(5)}
    assert {place for place in found if place[0] == "b.parquet"} == {("b.parquet", row) for row in range(12)}
    assert {row["source_version"] for place, row in found.items() if place[0] == "a.parquet"} == {NEW}
    for row in found.values():
        assert (row["status"] == REMOVED) == (row["image_vector"] is None)
