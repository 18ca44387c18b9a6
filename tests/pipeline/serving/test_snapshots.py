"""Following a table: newer versions, facts that are kept, and what makes it unavailable."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lance
import numpy as np
import pytest

from pipeline import table
from pipeline.errors import OutdatedError
from pipeline.serving import snapshots
from pipeline.serving.snapshots import Following, UnavailableError
from pipeline.table import Table
from tests.tables import write_table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_table(tmp_path / "t", np.eye(4, 8), np.eye(4, 8))


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "SECONDS_BETWEEN_LOOKS", -1.0)


def commit(path: Path) -> int:
    """Another program's commit; the new version."""
    dataset = lance.dataset(f"{path}.lance")
    dataset.delete("source_row < 0")
    dataset.update_config({"a": str(dataset.version)})
    return int(dataset.version)


def test_a_commit_is_followed_and_a_fixed_version_stays(path: Path) -> None:
    following = Following(table.parse(str(path)))
    before = following.newest().version
    fixed = Following(table.parse(f"{path}@{before}"))
    after = commit(path)
    assert (following.newest().version, fixed.newest().version) == (after, before)


def test_facts_are_computed_once_while_many_ask(path: Path) -> None:
    following = Following(table.parse(str(path)))
    computed: list[int] = []
    go = threading.Event()

    def slow(opened: Table) -> int:
        computed.append(opened.version)
        assert go.wait(60)
        return opened.version

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(following.remembered, "key", slow) for _ in range(8)]
        go.set()
        assert len({answer.result(60) for answer in answers}) == 1
    assert len(computed) == 1


def test_facts_of_a_table_that_grows_are_kept_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following = Following(table.parse(str(path)))
    first = following.remembered("key", lambda opened: opened.version)
    commit(path)
    assert following.remembered("key", lambda opened: opened.version) == first
    monkeypatch.setattr(snapshots, "SECONDS_KEPT", -1.0)
    assert following.remembered("key", lambda opened: opened.version) > first


def test_a_failure_is_not_remembered(path: Path) -> None:
    following = Following(table.parse(str(path)))
    with pytest.raises(ZeroDivisionError):
        following.remembered("key", lambda _opened: 1 // 0)
    assert following.remembered("key", lambda _opened: 7) == 7


def test_facts_of_many_kinds_do_not_pile_up(path: Path) -> None:
    following = Following(table.parse(str(path)))
    computed: list[int] = []
    for key in [*range(snapshots.MOST_KEPT + 1), snapshots.MOST_KEPT, 0]:
        following.remembered(key, lambda _opened, key=key: computed.append(key))
    assert computed == [*range(snapshots.MOST_KEPT + 1), 0]


def test_a_read_whose_files_were_removed_is_made_once_more(path: Path) -> None:
    following = Following(table.parse(str(path)))
    seen: list[int] = []

    def read(opened: Table) -> int:
        seen.append(opened.version)
        if len(seen) == 1:
            commit(path)
            raise OutdatedError("gone")
        return opened.version

    assert following.read(read) == seen[1] > seen[0]


def test_a_table_that_is_gone_or_made_anew_by_another_model_is_unavailable(path: Path, tmp_path: Path) -> None:
    following = Following(table.parse(str(path)))
    shutil.rmtree(f"{path}.lance")
    with pytest.raises(UnavailableError, match=r"/t: it is no longer there: it was deleted or moved; restore it"):
        following.newest()
    write_table(tmp_path / "t", np.eye(4, 16), np.eye(4, 16))
    commit(path)
    with pytest.raises(UnavailableError, match="made anew with another dimension"):
        following.newest()


def test_a_table_that_is_made_anew_with_as_many_versions_is_read(path: Path, tmp_path: Path) -> None:
    following = Following(table.parse(str(path)))
    before = following.newest().version
    shutil.rmtree(f"{path}.lance")
    write_table(tmp_path / "t", np.eye(6, 8), np.eye(6, 8))
    assert table.open_table(table.parse(str(path))).version == before
    assert following.read(lambda opened: sum(len(batch) for batch in opened.scan(["caption"]))) == 6
