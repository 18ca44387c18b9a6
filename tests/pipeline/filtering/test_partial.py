"""Folders that other filters to the same output have left, or are still writing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import processes, table
from pipeline.errors import TableError, UsageError
from pipeline.filtering import Output, Selection, filter_table, flag, one_cut, written_as
from pipeline.table import Table
from tests.tables import cosines_as, write_table

EVERY = Selection(one_cut("cosine", min=-1.0))


@dataclass(frozen=True)
class While:
    """Parquet, while whose partial folder is written something else happens."""

    happens: Callable[[Path], None]
    parquet = written_as("parquet").writer

    def columns(self, table: Table, /) -> pa.Schema:
        return self.parquet.columns(table)

    def write(self, table: Table, batches: Iterable[pa.RecordBatch], folder: Path, /) -> None:
        self.parquet.write(table, batches, folder)
        self.happens(folder.parent)


@pytest.fixture
def scored(tmp_path: Path) -> Table:
    return table.open_table(table.parse(str(write_table(tmp_path / "t", *cosines_as([0.1, 0.5, 0.9])))))


def test_the_folder_of_a_filter_that_is_at_work_is_left_alone(
    scored: Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def another_filter(folder: Path) -> None:
        assert filter_table(scored, EVERY, tmp_path / "out").kept == 3
        assert f"{folder}: another filter is writing this folder; not removed" in caplog.text
        assert any(folder.iterdir())
        shutil.rmtree(tmp_path / "out")

    assert filter_table(scored, EVERY, tmp_path / "out", Output("parquet", While(another_filter))).kept == 3
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "out", "out.siglane"}


def test_of_two_filters_to_one_output_the_slower_one_says_so(scored: Table, tmp_path: Path) -> None:
    def another_filter(_folder: Path) -> None:
        filter_table(scored, Selection(one_cut("cosine", min=0.7)), tmp_path / "out")

    with pytest.raises(UsageError, match=r"out: another filter has written it meanwhile; choose another --output"):
        filter_table(scored, EVERY, tmp_path / "out", Output("parquet", While(another_filter)))
    assert pq.read_table(tmp_path / "out").num_rows == 1
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "out", "out.siglane"}


def test_what_a_filter_elsewhere_has_left_is_named_and_left_alone(
    scored: Table, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = set[Path]()

    def copy(folder: Path) -> None:
        left.add(shutil.copytree(folder, folder.with_name(f"{folder.name[:-8]}01234567")))

    monkeypatch.setattr(processes, "place", lambda: "elsewhere/boot")
    filter_table(scored, EVERY, tmp_path / "out", Output("parquet", While(copy)))
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out.partial-by-hand").mkdir()
    filter_table(scored, EVERY, tmp_path / "out")
    for folder in left | {tmp_path / "out.partial-by-hand"}:
        assert f"{folder}: a filter on another machine" in caplog.text
        assert folder.exists()


def test_a_filter_that_fails_takes_the_name_back_that_it_gave(
    scored: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        assert list(names(scored)) == [f"filter-{scored.version}"]
        raise TableError("other writers were quicker")

    with monkeypatch.context() as patched:
        patched.setattr(flag, "write", fails)
        with pytest.raises(TableError, match="other writers were quicker"):
            filter_table(scored, EVERY, tmp_path / "out", flag="good")
        assert names(scored) == {}
        filter_table(scored, EVERY, tmp_path / "first")
        with pytest.raises(TableError, match="other writers were quicker"):
            filter_table(scored, EVERY, tmp_path / "out", flag="good")
    assert list(names(scored)) == [f"filter-{scored.version}"]
    assert {path.name for path in tmp_path.iterdir()} == {"t.lance", "first", "first.siglane"}


def names(opened: Table) -> dict[str, object]:
    return dict(lance.dataset(opened.uri.dataset).tags.list())
