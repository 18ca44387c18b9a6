"""Exactly-once commits: whatever two writers do at one time, each row lands once."""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.errors import IdentityError, StorageError, TableError
from pipeline.schema import Identity
from pipeline.table import Committer, TableUri, compact
from tests.rows import rows_of

IDENTITY = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", 4, "a-model", 10.0, -10.0)


def some_rows(
    start: int,
    stop: int,
    source: str = "a.parquet",
    identity: Identity = IDENTITY,
    version: str = "1-1",
    status: str = schema.SUCCESS,
) -> pa.Table:
    """Rows `start` to `stop` of a source, in the table's schema."""
    columns = schema.table_schema(identity)
    count = stop - start
    vector = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(count * 4, np.float16)), 4)
    values = {
        schema.UID: [schema.make_uid(source, str(row)) for row in range(start, stop)],
        schema.KEY: [str(row) for row in range(start, stop)],
        schema.SOURCE: [source] * count,
        schema.SOURCE_VERSION: [version] * count,
        schema.SOURCE_ROW: range(start, stop),
        schema.SOURCE_ROWS: [100] * count,
        schema.STATUS: [status] * count,
        schema.IMAGE_VECTOR: vector,
        schema.TEXT_VECTOR: vector,
    }
    missing = {field.name: pa.nulls(count, field.type) for field in columns if field.name not in values}
    return pa.table({name: (values | missing)[name] for name in columns.names}, columns)


def committer(uri: TableUri, identity: Identity = IDENTITY) -> Committer:
    return Committer(uri, schema.table_schema(identity), table.open_if_exists(uri))


def source_rows(uri: TableUri) -> list[int]:
    return sorted(row for _, row in rows_of(f"{uri.database}/{uri.name}", ["source", "source_row"]))


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    return table.parse(str(tmp_path / "db" / "t"))


def test_commits_of_one_writer_add_up(uri: TableUri) -> None:
    writer = committer(uri)
    assert writer.commit([table.stage(uri, some_rows(0, 3)), table.stage(uri, some_rows(3, 5))]) == {
        (schema.SUCCESS, None): 5
    }
    writer.commit([table.stage(uri, some_rows(5, 9))])
    assert source_rows(uri) == list(range(9))


def test_nothing_staged_commits_nothing(uri: TableUri) -> None:
    assert committer(uri).commit([]) == {}
    assert not table.exists(uri)


def test_two_writers_that_both_saw_no_table_land_each_row_once(uri: TableUri) -> None:
    first, second = committer(uri), committer(uri)
    staged_first, staged_second = table.stage(uri, some_rows(0, 4)), table.stage(uri, some_rows(0, 4))
    first.commit([staged_first])
    assert second.commit([staged_second]) == {}
    assert source_rows(uri) == [0, 1, 2, 3]


def test_a_writer_that_was_overtaken_commits_only_what_is_new(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 2))])
    first, second = committer(uri), committer(uri)
    first.commit([table.stage(uri, some_rows(2, 6))])
    committed = second.commit([table.stage(uri, some_rows(4, 8)), table.stage(uri, some_rows(2, 4))])
    assert committed == {(schema.SUCCESS, None): 2}
    assert source_rows(uri) == list(range(8))


def test_a_writer_that_was_overtaken_checks_what_it_stages_later_too(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 2))])
    first, second = committer(uri), committer(uri)
    first.commit([table.stage(uri, some_rows(2, 8))])
    assert second.commit([table.stage(uri, some_rows(2, 4))]) == {}
    assert second.commit([table.stage(uri, some_rows(4, 10))]) == {(schema.SUCCESS, None): 2}
    assert source_rows(uri) == list(range(10))


def test_a_writer_that_was_overtaken_looks_rows_up_after_a_merge_of_its_own_too(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 2))])
    first, second = committer(uri), committer(uri)
    first.commit([table.stage(uri, some_rows(2, 8))])
    assert second.commit([table.stage(uri, some_rows(8, 9))]) == {(schema.SUCCESS, None): 1}
    second.merge_fragments(run_is_over=True)
    assert second.commit([table.stage(uri, some_rows(4, 11))]) == {(schema.SUCCESS, None): 2}
    assert source_rows(uri) == list(range(11))


def test_rows_of_other_sources_land_though_another_run_was_quicker(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 2))])
    first, second = committer(uri), committer(uri)
    first.commit([table.stage(uri, some_rows(0, 3, "b.parquet"))])
    assert second.commit([table.stage(uri, some_rows(0, 3, "c.parquet"))]) == {(schema.SUCCESS, None): 3}
    assert table.open_table(uri).count() == 8


def test_the_same_staged_rows_twice_land_once(uri: TableUri) -> None:
    writer, stale = committer(uri), committer(uri)
    staged = table.stage(uri, some_rows(0, 4))
    writer.commit([staged])
    assert stale.commit([staged]) == {}
    assert source_rows(uri) == [0, 1, 2, 3]


def test_two_writers_on_a_table_that_lost_all_its_rows_land_each_row_once(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    lance.dataset(uri.dataset).delete("true")
    first, second = committer(uri), committer(uri)
    staged = [table.stage(uri, some_rows(start, start + 3)) for start in (0, 3)]
    lance.dataset(uri.dataset).update_config({"another": "commit"})
    assert first.commit(staged) == {(schema.SUCCESS, None): 6}
    assert second.commit([table.stage(uri, some_rows(2, 9))]) == {(schema.SUCCESS, None): 3}
    assert second.commit([table.stage(uri, some_rows(9, 12))]) == {(schema.SUCCESS, None): 3}
    assert source_rows(uri) == list(range(12))


def test_a_writer_interrupted_behind_its_commit_may_ask_for_it_again(uri: TableUri) -> None:
    writer = committer(uri)
    writer.commit([table.stage(uri, some_rows(0, 3))])
    staged = [table.stage(uri, some_rows(3, 6))]
    writer.commit(staged)
    assert writer.commit(staged) == {}
    assert source_rows(uri) == list(range(6))


def test_rows_that_came_in_while_a_writer_merged_fragments_are_looked_up(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = committer(uri)
    writer.commit([table.stage(uri, some_rows(0, 3))])
    writer.commit([table.stage(uri, some_rows(3, 6))])
    other, plan = committer(uri), compact.Compaction.plan

    def overtaken(*arguments: object) -> object:
        planned = plan(*arguments)
        other.commit([table.stage(uri, some_rows(6, 9))])
        return planned

    monkeypatch.setattr(compact.Compaction, "plan", overtaken)
    writer.merge_fragments(run_is_over=True)
    assert writer.commit([table.stage(uri, some_rows(6, 10))]) == {(schema.SUCCESS, None): 1}
    assert source_rows(uri) == list(range(10))


def test_rows_that_came_in_before_a_store_failed_are_looked_up(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 1))])
    writer, other = committer(uri), committer(uri)
    other.commit([table.stage(uri, some_rows(1, 4))])
    staged = [table.stage(uri, some_rows(1, 4))]
    with monkeypatch.context() as failing:
        failing.setattr(lance.LanceDataset, "commit", _fails)
        with pytest.raises(StorageError):
            writer.commit(staged)
    assert writer.commit(staged) == {}  # as a run does that ends
    assert source_rows(uri) == list(range(4))


def _fails(*_arguments: object, **_options: object) -> None:
    raise OSError("LanceError(IO): 503 Slow Down")


def _answer_is_lost_once(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object] = lambda: None) -> None:
    """The next commit lands, then `meanwhile` happens, and the connection breaks before the answer has come."""
    real, calls = lance.LanceDataset.commit, []

    def commit(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        landed = real(*arguments, **options)
        if len(calls) > 1:
            return landed
        meanwhile()
        raise OSError("LanceError(IO): error sending request for url (http://store/t): connection reset")

    monkeypatch.setattr(lance.LanceDataset, "commit", staticmethod(commit))


def test_a_commit_whose_answer_was_lost_counts_what_it_brought_in(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = committer(uri)
    writer.commit([table.stage(uri, some_rows(0, 3))])
    _answer_is_lost_once(monkeypatch)
    assert writer.commit([table.stage(uri, some_rows(3, 7))]) == {(schema.SUCCESS, None): 4}
    assert source_rows(uri) == list(range(7))


def test_a_commit_whose_answer_was_lost_is_known_behind_those_of_others(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = committer(uri)
    writer.commit([table.stage(uri, some_rows(0, 3))])
    staged = [table.stage(uri, some_rows(3, 7))]
    others = [table.stage(uri, some_rows(start, start + 2, "b.parquet")) for start in (0, 2)]

    def meanwhile() -> None:
        for other in others:
            assert committer(uri).commit([other]) == {(schema.SUCCESS, None): 2}

    _answer_is_lost_once(monkeypatch, meanwhile)
    assert writer.commit(staged) == {(schema.SUCCESS, None): 4}
    assert len(rows_of(f"{uri.database}/{uri.name}")) == 11


def test_rows_that_another_machine_has_written_to_a_folder_of_its_own_are_refused(uri: TableUri) -> None:
    staged = table.stage(uri, some_rows(0, 3))
    for file in Path(uri.dataset, "data").iterdir():
        file.unlink()
    with pytest.raises(
        TableError,
        match=r"1 staged file, e\.g\. \S+, is not in \S+/data\. Either a node wrote to a local folder of its own",
    ):
        committer(uri).commit([staged])
    assert not table.exists(uri)


def test_rows_that_came_in_before_copies_were_recorded_are_looked_up(uri: TableUri) -> None:
    committer(uri).commit([table.stage(uri, some_rows(0, 3))])
    writer = committer(uri)
    committer(uri).commit([table.stage(uri, some_rows(3, 6))])
    writer.look_at(table.record_versions(table.open_table(uri), {"a.parquet": "1-2"}))
    assert writer.commit([table.stage(uri, some_rows(3, 7, version="1-2"))]) == {(schema.SUCCESS, None): 1}
    assert source_rows(uri) == list(range(7))


def test_a_writer_that_another_models_table_refused_never_writes_into_it(uri: TableUri) -> None:
    other = replace(IDENTITY, weights="z" * 64)
    writer = committer(uri)
    committer(uri, other).commit([table.stage(uri, some_rows(0, 3, "b.parquet", other))])
    staged = [table.stage(uri, some_rows(0, 3))]
    for _ in range(2):  # a run that ends so tries to keep what is finished
        with pytest.raises(IdentityError):
            writer.commit(staged)
    assert table.open_table(uri).count() == 3


def test_rows_staged_before_another_run_made_the_table_come_into_their_own_columns(uri: TableUri) -> None:
    """Lance numbers columns by their place: rows staged before there is a table would land in the wrong ones."""
    url, licence = pa.field("url", pa.string()), pa.field("licence", pa.string())

    def rows(row: int, *kept: pa.Field) -> pa.Table:
        columns = schema.table_schema(IDENTITY, pa.schema(kept))
        plain = some_rows(row, row + 1)
        return pa.table([*plain.columns, *(pa.array([field.name]) for field in kept)], columns)

    both, one = rows(0, url, licence), rows(1, licence)
    first, second = (Committer(uri, staged.schema, None) for staged in (both, one))
    staged_first, staged_second = table.stage(uri, both), table.stage(uri, one)
    first.commit([staged_first])
    assert second.commit([staged_second]) == {(schema.SUCCESS, None): 1}
    found = rows_of(f"{uri.database}/{uri.name}")
    assert {place[1]: (row["url"], row["licence"]) for place, row in found.items()} == {
        0: ("url", "licence"),
        1: (None, "licence"),
    }


def test_a_table_made_meanwhile_by_another_model_is_refused(uri: TableUri) -> None:
    first, second = committer(uri), committer(uri, replace(IDENTITY, weights="v" * 64))
    first.commit([table.stage(uri, some_rows(0, 2))])
    staged = table.stage(uri, some_rows(2, 4, identity=replace(IDENTITY, weights="v" * 64)))
    with pytest.raises(IdentityError, match="was made with weights wwww"):
        second.commit([staged])
    assert source_rows(uri) == [0, 1]


def _commit_one_by_one(address: str, barrier: object) -> None:
    """Commits the rows 0 to 29 of one source, each in its own commit, as fast as it can."""
    uri = table.parse(address)
    writer = committer(uri)
    barrier.wait()  # type: ignore[attr-defined]
    for row in range(30):
        writer.commit([table.stage(uri, some_rows(row, row + 1))])


def test_four_processes_committing_the_same_rows_at_one_time_land_each_once(uri: TableUri) -> None:
    context = mp.get_context("spawn")
    barrier = context.Barrier(4)
    writers = [context.Process(target=_commit_one_by_one, args=(str(uri), barrier)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert source_rows(uri) == list(range(30))


def fragment_rows(uri: TableUri) -> list[int]:
    return [fragment.count_rows() for fragment in table.open_table(uri).lance.get_fragments()]


def test_small_fragments_are_merged_while_a_run_goes_on_and_at_its_end(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 10)
    writer = committer(uri)
    for start in range(0, 33, 3):
        writer.commit([table.stage(uri, some_rows(start, start + 3))])
        writer.merge_fragments()
    assert sum(rows for rows in fragment_rows(uri) if rows < 10) < 10
    writer.commit([table.stage(uri, some_rows(33, 34))])
    writer.merge_fragments(run_is_over=True)
    assert sum(rows < 10 for rows in fragment_rows(uri)) <= 1
    assert source_rows(uri) == list(range(34))


def test_a_writer_overtaken_by_a_merge_of_fragments_still_lands_each_row_once(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 10)
    first = committer(uri)
    first.commit([table.stage(uri, some_rows(0, 4))])
    second = committer(uri)
    for start in range(4, 28, 4):
        first.commit([table.stage(uri, some_rows(start, start + 4))])
        first.merge_fragments()
    assert second.commit([table.stage(uri, some_rows(20, 36))]) == {(schema.SUCCESS, None): 8}
    assert first.commit([table.stage(uri, some_rows(26, 40))]) == {(schema.SUCCESS, None): 4}
    assert source_rows(uri) == list(range(40))


@pytest.mark.parametrize("run_is_over", [False, True])
def test_what_another_run_commits_during_a_merge_is_not_committed_again(
    run_is_over: bool, uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committing a merge moves Lance's handle past the other run's commit."""
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 10)
    first = committer(uri)
    first.commit([table.stage(uri, some_rows(0, 10))])  # complete, so that no merge changes it
    for start in range(10, 30, 5):
        first.commit([table.stage(uri, some_rows(start, start + 5))])
    pending = table.stage(uri, some_rows(30, 34))
    second = committer(uri)
    merge = compact.Compaction.commit

    def commit_beside(*arguments: object) -> object:
        second.commit([table.stage(uri, some_rows(30, 34))])
        return merge(*arguments)

    monkeypatch.setattr(compact.Compaction, "commit", commit_beside)
    first.merge_fragments(run_is_over)
    monkeypatch.undo()
    assert first.commit([pending]) == {}
    assert first.dropped == 4
    assert source_rows(uri) == list(range(34))


def test_versions_are_recorded_beside_other_writers(uri: TableUri) -> None:
    writer = committer(uri)
    writer.commit([table.stage(uri, some_rows(0, 3)), table.stage(uri, some_rows(0, 3, "b.parquet"))])
    stale = table.open_table(uri)
    writer.commit([table.stage(uri, some_rows(3, 6))])
    recorded = table.record_versions(stale, {"a.parquet": "1-2"})
    assert table.read_ledger(recorded)["a.parquet"] == table.LedgerEntry(frozenset(["1-2"]), 6, 100)
    # rows of a version that the table knows no more are not mixed with the others
    assert writer.commit([table.stage(uri, some_rows(6, 8)), table.stage(uri, some_rows(2, 5, "b.parquet"))]) == {
        (schema.SUCCESS, None): 2
    }
    ledger = table.read_ledger(table.open_table(uri))
    assert ledger["a.parquet"] == table.LedgerEntry(frozenset(["1-2"]), 6, 100)
    assert ledger["b.parquet"] == table.LedgerEntry(frozenset(["1-1"]), 5, 100)
    assert table.open_table(uri).count("image_vector IS NOT NULL") == 11


def test_old_versions_go_but_tagged_ones_and_what_is_staged_stay(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "VERSIONS_KEPT", timedelta(0))
    monkeypatch.setattr(compact, "COMMITS_BETWEEN_CLEANUPS", 5)
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 10)
    writer = committer(uri)
    staged_before = table.stage(uri, some_rows(0, 3, "b.parquet"))
    for row in range(20):
        writer.commit([table.stage(uri, some_rows(row, row + 1))])
        writer.merge_fragments()
        if row == 2:
            table.open_table(uri).lance.tags.create("kept", table.open_table(uri).version)

    dataset = table.open_table(uri).lance
    assert len(dataset.versions()) < 10
    assert table.open_table(replace(uri, state="kept")).count() == 3
    assert len(list(table.open_table(replace(uri, state="kept")).scan(["image_vector"]))) > 0
    writer.commit([staged_before])
    writer.merge_fragments(run_is_over=True)
    assert rows_of(f"{uri.database}/{uri.name}").keys() == {
        *(("a.parquet", row) for row in range(20)),
        *(("b.parquet", row) for row in range(3)),
    }


def test_young_versions_stay(uri: TableUri) -> None:
    writer = committer(uri)
    for row in range(5):
        writer.commit([table.stage(uri, some_rows(row, row + 1))])
    versions = len(table.open_table(uri).lance.versions())
    writer.merge_fragments(run_is_over=True)
    assert len(table.open_table(uri).lance.versions()) >= versions
