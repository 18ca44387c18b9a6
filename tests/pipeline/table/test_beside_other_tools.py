"""What Lance, LanceDB and their users do to a table beside siglane: nothing is lost, doubled or scrambled by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.errors import OutdatedError, TableError
from pipeline.storage.filesystems import locate
from pipeline.table import TableUri, compact, fill
from pipeline.upkeep.status import status
from pipeline.verify import VerifyOptions, verify
from tests.faulty_proxy import FaultyProxy
from tests.pipeline.table.test_commit import committer, some_rows, source_rows
from tests.rows import rows_of
from tests.s3 import S3
from tests.tables import cosines_as, write_table


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    return table.parse(str(tmp_path / "db" / "t"))


def dataset(uri: TableUri) -> lance.LanceDataset:
    return lance.dataset(uri.dataset)


def commit_rows(uri: TableUri, *bounds: int) -> None:
    """Commits rows from each bound to the next, a fragment each."""
    writer = committer(uri)
    for start, stop in pairwise(bounds):
        writer.commit([table.stage(uri, some_rows(start, stop))])


def test_a_merge_that_rewrote_an_index_is_an_unknown_transaction(uri: TableUri, tmp_path: Path) -> None:
    """pylance 14.0.2 cannot read its own transaction back."""
    commit_rows(uri, 0, 5, 10, 15)
    dataset(uri).create_scalar_index("uid", "BTREE")
    running = committer(uri)
    pending = table.stage(uri, some_rows(15, 20))
    dataset(uri).optimize.compact_files(target_rows_per_fragment=100)
    with pytest.raises(TypeError, match="RewrittenIndex"):  # once this no longer fails, `history` can be simpler
        dataset(uri).read_transaction(dataset(uri).version)
    assert status(uri).rows == {(schema.SUCCESS, None, None): 15}
    assert [sign.rows for sign in table.signs_of_work(table.open_table(uri), 100)] == [5, 5, 5]
    assert running.commit([pending]) == {(schema.SUCCESS, None): 5}
    running.merge_fragments(run_is_over=True)
    assert source_rows(uri) == list(range(20))


@pytest.mark.parametrize("delete_unverified", [False, True])
def test_a_run_goes_on_where_a_cleanup_removed_the_version_it_looked_at(uri: TableUri, delete_unverified: bool) -> None:
    commit_rows(uri, 0, 5, 10)
    running = committer(uri)
    commit_rows(uri, 10, 12)
    dataset(uri).cleanup_old_versions(timedelta(0), delete_unverified=delete_unverified)
    assert running.commit([table.stage(uri, some_rows(8, 15))]) == {(schema.SUCCESS, None): 3}
    assert running.dropped == 4
    running.merge_fragments(run_is_over=True)
    assert source_rows(uri) == list(range(15))


def _merge_all(uri: TableUri) -> None:
    dataset(uri).optimize.compact_files(target_rows_per_fragment=100)


def _replace_deletion_files(uri: TableUri) -> None:
    dataset(uri).delete("source_row = 0")


@pytest.mark.parametrize("replace", [_merge_all, _replace_deletion_files])
def test_a_run_goes_on_where_the_files_it_looked_at_were_replaced_and_removed(
    uri: TableUri, replace: Callable[[TableUri], None]
) -> None:
    """LanceDB's `optimize(cleanup_older_than=0)` merges and removes."""
    commit_rows(uri, 0, 5, 10)
    dataset(uri).delete("source_row = 1")
    running = committer(uri)
    commit_rows(uri, 10, 12)
    assert running.commit([table.stage(uri, some_rows(12, 15))]) == {(schema.SUCCESS, None): 3}
    replace(uri)
    there = source_rows(uri)
    dataset(uri).cleanup_old_versions(timedelta(0))
    assert running.commit([table.stage(uri, some_rows(14, 20))]) == {(schema.SUCCESS, None): 5}
    running.merge_fragments(run_is_over=True)
    assert source_rows(uri) == [*there, *range(15, 20)]


def test_columns_are_filled_where_a_fragment_is_merged_and_removed_before_it_is_read(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_rows(uri, 0, 5, 10)
    table.add_columns(uri, pa.schema([("copied", pa.int64())]))
    once = iter([True])

    def open_and_remove(uri: TableUri) -> table.Table:
        opened = table.open_table(uri)
        if next(once, False):
            _merge_all(uri)
            dataset(uri).cleanup_old_versions(timedelta(0))
        return opened

    monkeypatch.setattr(fill, "open_table", open_and_remove)
    copy = ("copy", ["source_row"], "copied IS NULL", lambda batch: {"copied": batch["source_row"]})
    assert sum(table.fill_columns(uri, *copy)) == 10
    assert dataset(uri).to_table(["copied"])["copied"].to_pylist() == list(range(10))


def test_a_read_of_a_version_whose_files_were_removed_is_told_as_that(uri: TableUri) -> None:
    commit_rows(uri, 0, 5, 10)
    opened = table.open_table(uri)
    _merge_all(uri)
    dataset(uri).cleanup_old_versions(timedelta(0))
    with pytest.raises(
        OutdatedError, match=f"removed files of version {opened.version} while it was read; run the same"
    ):
        list(opened.scan(["uid"]))
    (file,) = Path(uri.dataset, "data").glob("*.lance")
    file.unlink()
    with pytest.raises(TableError, match=r"its file .* is missing; `siglane verify"):
        list(table.open_table(uri).scan(["uid"]))


def test_a_merge_whose_version_a_cleanup_removed_is_left_to_a_later_one(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 10)
    commit_rows(uri, 0, 10, 15, 18)
    running = committer(uri)
    commit_rows(uri, 18, 19)
    dataset(uri).cleanup_old_versions(timedelta(0))
    running.merge_fragments(run_is_over=True)
    assert source_rows(uri) == list(range(19))


COLUMN_OF_ANOTHER = {"row2": f"{schema.SOURCE_ROW} + 1"}


def test_a_column_without_nulls_is_named_before_anything_is_added_or_removed(uri: TableUri) -> None:
    commit_rows(uri, 0, 5)
    running = committer(uri)
    pending = table.stage(uri, some_rows(5, 8))
    dataset(uri).add_columns(COLUMN_OF_ANOTHER)
    named = "column 'row2', which another program added, allows no nulls"
    with pytest.raises(TableError, match=named):
        running.commit([pending])
    with pytest.raises(TableError, match=named):
        table.require_same(table.open_table(uri), some_rows(0, 1).schema)
    with pytest.raises(TableError, match=named):
        table.remove_rows(uri, "source_row = 1")
    assert source_rows(uri) == list(range(5))


def _drop_cosine(uri: TableUri) -> None:
    dataset(uri).drop_columns(["cosine"])


def _rename_caption(uri: TableUri) -> None:
    dataset(uri).alter_columns({"path": "caption", "name": "text"})


def _add_without_nulls(uri: TableUri) -> None:
    dataset(uri).add_columns(COLUMN_OF_ANOTHER)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_drop_cosine, "column 'cosine' is no such column there, but float in this run"),
        (_rename_caption, "column 'caption' is no such column there, but string in this run"),
        (_add_without_nulls, "column 'row2', which another program added, allows no nulls"),
    ],
)
def test_columns_that_were_changed_beside_a_run_are_named_where_rows_are_staged(
    uri: TableUri, change: Callable[[TableUri], None], named: str
) -> None:
    commit_rows(uri, 0, 5)
    change(uri)
    with pytest.raises(TableError, match=named) as told:
        table.stage(uri, some_rows(5, 8))
    assert "/rust/" not in str(told.value)


def test_verify_names_a_column_without_nulls_and_repairs_it(uri: TableUri) -> None:
    write_table(Path(str(uri)), *cosines_as([0.1, 0.2, 0.3]))
    dataset(uri).add_columns(COLUMN_OF_ANOTHER)
    problems = {problem.check: problem for problem in verify(VerifyOptions(table=str(uri))).problems}
    assert problems["nullable-columns"].examples == ("row2",)
    verify(VerifyOptions(table=str(uri), repair=True))
    assert table.remove_rows(uri, "source_row = 1") == 1
    assert dataset(uri).to_table(["row2"])["row2"].null_count == 1


def rewritten_in_another_order(found: lance.LanceDataset, place: str) -> None:
    rows = found.to_table()
    lance.write_dataset(rows.select(rows.column_names[::-1]), place, mode="overwrite")


def dropped_and_added(found: lance.LanceDataset, _place: str) -> None:
    kept = found.schema.field(schema.CAPTION)
    found.drop_columns([schema.CAPTION])
    found.add_columns(pa.schema([kept]))


@pytest.mark.parametrize("rewrite", [rewritten_in_another_order, dropped_and_added])
@pytest.mark.parametrize("look_again", [False, True])
def test_rows_staged_before_columns_were_rewritten_are_not_scrambled(
    uri: TableUri, rewrite: Callable[[lance.LanceDataset, str], None], look_again: bool
) -> None:
    commit_rows(uri, 0, 5)
    running = committer(uri)
    rows = some_rows(5, 8)
    captions = pa.array(["five", "six", "seven"])
    pending = table.stage(uri, rows.set_column(rows.schema.get_field_index(schema.CAPTION), schema.CAPTION, captions))
    rewrite(dataset(uri), uri.dataset)
    running = committer(uri) if look_again else running
    assert running.commit([pending]).total() == 3
    found = rows_of(f"{uri.database}/{uri.name}")
    assert {row: found["a.parquet", row]["caption"] for row in (5, 6, 7)} == {5: "five", 6: "six", 7: "seven"}
    assert all(row["uid"] == schema.make_uid("a.parquet", row["key"]) for row in found.values())
    assert all(row["image_vector"] is not None for row in found.values())


def test_a_table_with_deferred_index_remapping_is_verified(uri: TableUri) -> None:
    commit_rows(uri, 0, 5, 10, 15)
    dataset(uri).create_scalar_index("uid", "BTREE")
    dataset(uri).optimize.compact_files(target_rows_per_fragment=100, defer_index_remap=True)
    assert any(index.name.startswith("__lance_") for index in dataset(uri).describe_indices())
    assert [index.name for index in table.list_indexes(table.open_table(uri))] == ["uid_idx"]
    checked = verify(VerifyOptions(table=str(uri))).problems
    assert not {"indexes", "schema", "files"} & {problem.check for problem in checked}


class Ahead(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) + timedelta(days=9)


def test_a_clock_that_is_ahead_of_the_stores_removes_nothing(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compact, "VERSIONS_KEPT", timedelta(0))
    commit_rows(uri, 0, 5, 10)
    versions = len(dataset(uri).versions())
    with monkeypatch.context() as patched:
        patched.setattr(compact, "datetime", Ahead)
        compact.remove_old_versions(table.open_table(uri))
    assert "clock of this machine is ahead" in caplog.text
    assert len(dataset(uri).versions()) == versions
    compact.remove_old_versions(table.open_table(uri))
    assert len(dataset(uri).versions()) == 1


def test_nothing_is_removed_while_a_run_has_been_at_work_for_days(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compact, "VERSIONS_KEPT", timedelta(0))
    commit_rows(uri, 0, 5, 10)
    with table.Lease(uri, "embed of in") as lease:
        lease.keep()
        (key, holder), *_ = table.read_holders(table.open_table(uri)).items()
        old = dataclasses.replace(holder, since=(datetime.now(UTC) - timedelta(days=8)).isoformat())
        dataset(uri).update_config({key: table.lease.to_json(old)})
        compact.remove_old_versions(table.open_table(uri))
    assert "has been at work for days" in caplog.text
    assert len(dataset(uri).versions()) > 2


@pytest.mark.parametrize("remote", [False, True])
def test_a_staged_file_that_is_missing_is_not_committed(remote: bool, uri: TableUri, s3: S3) -> None:
    if remote:
        uri = table.parse(f"{s3.bucket()}/db/t")
    running = committer(uri)
    running.commit([table.stage(uri, some_rows(0, 3))])
    there, missing = table.stage(uri, some_rows(3, 5)), table.stage(uri, some_rows(5, 8))
    name = missing.fragments[0].files[0].path
    filesystem, folder = locate(uri.dataset, "table")
    filesystem.ls(f"{folder}/data")  # what is listed before is not believed
    filesystem.rm_file(f"{folder}/data/{name}")
    with pytest.raises(TableError, match=rf"1 staged file, e\.g\. {name}, is not in .*clock that is days ahead"):
        running.commit([there, missing])
    assert table.open_table(uri).count() == 3
    assert running.commit([there]).total() == 2


def test_a_store_that_hiccups_while_staged_files_are_looked_for_is_asked_again(s3: S3, proxy: FaultyProxy) -> None:
    uri = table.parse(f"{s3.bucket()}/db/t")
    running = committer(uri)
    staged = table.stage(uri, some_rows(0, 3))
    proxy.fail("503", times=2, method="HEAD")
    assert running.commit([staged]).total() == 3
