"""`verify --clean` beside runs that it cannot see: no commit names a file that it deletes."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.errors import TableError
from pipeline.table import Fill, Filled, TableUri, clean, lease, one_by_one, transactions
from tests.pipeline.table.test_commit import committer, some_rows, source_rows
from tests.rows import rows_of

SECOND = 1_700_000_000
NO_FILE = r"1 staged file, e\.g\. .*verify --clean"


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    uri = table.parse(str(tmp_path / "t"))
    committer(uri).commit([table.stage(uri, some_rows(0, 4))])
    return uri


def once_before(patch: pytest.MonkeyPatch, owner: Any, name: str, then: Callable[[], object]) -> None:
    """Does something right before the next call."""
    real = getattr(owner, name)

    def call(*arguments: Any) -> Any:
        patch.setattr(owner, name, real)
        then()
        return real(*arguments)

    patch.setattr(owner, name, call)


def data_files(uri: TableUri) -> int:
    return len(list(Path(uri.dataset, "data").iterdir()))


def is_whole(uri: TableUri) -> bool:
    return table.lost_files(table.open_table(uri)) == {}


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_commit_whose_files_are_deleted_when_it_is_sent_is_refused(
    uri: TableUri, is_empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_empty:
        lance.dataset(uri.dataset).delete("true")
    running = committer(uri)
    staged = table.stage(uri, some_rows(4, 8))
    once_before(monkeypatch, transactions, "send", lambda: table.remove_leftovers(uri))
    with pytest.raises(TableError, match=NO_FILE):
        running.commit([staged])
    assert is_whole(uri)
    assert source_rows(uri) == ([] if is_empty else [0, 1, 2, 3])
    assert running.commit([table.stage(uri, some_rows(4, 8))]).total() == 4


def test_rows_whose_files_are_about_to_be_deleted_are_written_anew(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = committer(uri)
    first, later = table.stage(uri, some_rows(4, 8)), table.stage(uri, some_rows(8, 10))
    once_before(monkeypatch, clean, "remove_files", lambda: running.commit([first]))
    assert len(table.remove_leftovers(uri).files) == 2
    assert is_whole(uri)
    assert source_rows(uri) == list(range(8))
    with pytest.raises(TableError, match=NO_FILE):
        running.commit([later])
    assert running.commit([table.stage(uri, some_rows(8, 10))]).total() == 2
    table.remove_leftovers(uri)
    assert (is_whole(uri), source_rows(uri)) == (True, list(range(10)))


def test_a_commit_of_rows_written_anew_may_be_asked_for_again(uri: TableUri, monkeypatch: pytest.MonkeyPatch) -> None:
    running = committer(uri)
    staged = table.stage(uri, some_rows(4, 8))

    def commit_twice() -> None:
        running.look_at(table.open_table(uri))
        assert running.commit([staged]).total() == 4
        assert running.commit([staged]).total() == 0

    once_before(monkeypatch, clean, "remove_files", commit_twice)
    table.remove_leftovers(uri)
    assert source_rows(uri) == list(range(8))


def test_files_that_are_committed_before_a_cleaning_is_announced_stay(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, forgotten = table.stage(uri, some_rows(4, 8)), table.stage(uri, some_rows(8, 10))
    (file,) = forgotten.fragments[0].files
    once_before(monkeypatch, clean, "commit", lambda: committer(uri).commit([staged]))
    assert [left.path for left in table.remove_leftovers(uri).files] == [f"data/{file.path}"]
    assert is_whole(uri)
    assert source_rows(uri) == list(range(8))


def test_nothing_is_deleted_where_a_run_starts_before_a_cleaning_is_announced(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.stage(uri, some_rows(4, 8))
    with table.Lease(uri, "embed of in") as held:
        once_before(monkeypatch, clean, "commit", held.keep)
        leftovers = table.remove_leftovers(uri)
    assert leftovers.files == ()
    assert [holder.work for holder in leftovers.at_work] == ["embed of in"]
    assert data_files(uri) == 2


def test_a_file_that_is_left_in_the_second_of_a_cleaning_is_deleted(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = table.stage(uri, some_rows(4, 8)).fragments[0].files
    path = Path(uri.dataset, "data", file.path)
    os.utime(path, (SECOND, SECOND))
    monkeypatch.setattr(clean, "store_time", lambda _: datetime.fromtimestamp(SECOND, UTC))  # a store of whole seconds
    assert [left.path for left in table.remove_leftovers(uri).files] == [f"data/{file.path}"]
    assert not path.exists()


def test_a_cleaning_without_files_to_delete_makes_no_version(uri: TableUri) -> None:
    before = table.open_table(uri).version
    table.remove_leftovers(uri)
    assert table.open_table(uri).version == before


def test_columns_whose_files_are_about_to_be_deleted_are_computed_again(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.add_columns(uri, pa.schema([("quality", pa.float32())]))
    deletions: list[Callable[[], None]] = []
    real = clean.remove_files
    monkeypatch.setattr(clean, "remove_files", lambda *files: deletions.append(lambda: real(*files)))

    def compute(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        return {"quality": pa.array([1.0] * len(batch), pa.float32())}

    def taken_over(fill: Fill, fragments: Sequence[int]) -> Generator[Filled | None, None, None]:
        for filled in one_by_one(fill, fragments):
            if not deletions:
                lease.forget(uri, table.read_holders(table.open_table(uri)))
                table.remove_leftovers(uri)
            yield filled

    where = "quality IS NULL"
    assert list(table.fill_columns(uri, "score", [schema.UID], where, compute, taken_over)) == [4]
    (delete,) = deletions
    files = data_files(uri)
    delete()
    assert data_files(uri) == files - 1
    assert is_whole(uri)
    assert [row["quality"] for row in rows_of(f"{uri.database}/{uri.name}").values()] == [1.0] * 4
