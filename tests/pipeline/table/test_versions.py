"""Commits where another tool's cleanup has removed versions that Lance would compare them with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from pipeline import schema, table
from pipeline.errors import TableError
from pipeline.table import TableUri, columns, compact, lease, repair
from pipeline.table.versions import RemovedVersionError, require_versions
from tests.faulty_proxy import FaultyProxy
from tests.pipeline.table.test_commit import committer, some_rows, source_rows
from tests.rows import rows_of
from tests.s3 import S3


@pytest.fixture
def uri(tmp_path: Path) -> TableUri:
    uri = table.parse(str(tmp_path / "t"))
    writer = committer(uri)
    for start in (0, 2):
        writer.commit([table.stage(uri, some_rows(start, start + 2))])
    return uri


def heartbeat(uri: TableUri) -> None:
    lance.dataset(uri.dataset, storage_options=uri.storage_options).update_config({"heart": "beats"})


def clean_up(uri: TableUri) -> None:
    """Removes all versions but the newest and those with a tag."""
    heartbeat(uri)
    lance.dataset(uri.dataset).cleanup_old_versions(timedelta(0), error_if_tagged_old_versions=False)


def status(uri: TableUri) -> list[str]:
    rows = rows_of(f"{uri.database}/{uri.name}")
    return [row[schema.STATUS] for _, row in sorted(rows.items())]


@pytest.mark.parametrize("is_kept", [False, True])
def test_rows_of_a_commit_whose_version_was_removed_land_once(uri: TableUri, is_kept: bool) -> None:
    running = committer(uri)
    if is_kept:
        table.open_table(uri).tag("kept")
    committer(uri).commit([table.stage(uri, some_rows(4, 8))])
    clean_up(uri)
    assert running.commit([table.stage(uri, some_rows(4, 10))]).total() == 2
    assert source_rows(uri) == list(range(10))


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_merge_does_not_undo_a_commit_whose_version_was_removed(uri: TableUri, is_kept: bool) -> None:
    running = committer(uri)
    if is_kept:
        table.open_table(uri).tag("kept")
    table.remove_rows(uri, "source_row = 1")
    clean_up(uri)
    running.merge_fragments(run_is_over=True)
    assert status(uri) == ["success", "removed", "success", "success"]
    running.merge_fragments(run_is_over=True)
    assert status(uri) == ["success", "removed", "success", "success"]
    assert table.open_table(uri).fragments == 1


def before(room: Any, then: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    real = room.commit_by_lance

    def commit_by_lance(opened: table.Table, call: Callable[[], Any]) -> Any:
        patch.setattr(room, "commit_by_lance", real)
        then()
        return real(opened, call)

    patch.setattr(room, "commit_by_lance", commit_by_lance)


def test_a_new_column_does_not_undo_a_commit_whose_version_was_removed(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others_commit() -> None:
        committer(uri).commit([table.stage(uri, some_rows(4, 8))])
        clean_up(uri)

    before(columns, others_commit, monkeypatch)
    table.add_columns(uri, pa.schema([("quality", pa.float32())]))
    assert source_rows(uri) == list(range(8))
    assert "quality" in table.open_table(uri).schema.names


def test_a_column_that_is_let_hold_nulls_does_not_undo_a_commit_whose_version_was_removed(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    lance.dataset(uri.dataset).add_columns({"row2": "source_row + 1"})

    def others_commit() -> None:
        table.add_columns(uri, pa.schema([("quality", pa.float32())]))
        clean_up(uri)

    before(repair, others_commit, monkeypatch)
    table.allow_nulls(uri, ["row2"])
    found = table.open_table(uri).schema
    assert found.field("row2").nullable
    assert "quality" in found.names


def test_a_lease_is_not_taken_from_a_run_whose_version_was_removed(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.2)
    with table.Lease(uri, "embed of in") as quicker, table.Lease(uri, "embed of in") as slower:

        def others_commit() -> None:
            quicker.keep()
            clean_up(uri)

        before(lease, others_commit, monkeypatch)
        with pytest.raises(TableError, match="wait until it finishes"):
            slower.keep()
        quicker.keep()
    assert table.read_holders(table.open_table(uri)) == {}


def test_an_update_of_rows_lands_where_versions_of_heartbeats_are_there(
    uri: TableUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "ROWS_PER_FRAGMENT", 2)
    running = committer(uri)
    for _ in range(3):
        heartbeat(uri)
    assert running.commit([table.stage(uri, some_rows(4, 8))]).total() == 4
    require_versions(uri, 1, table.open_table(uri).version)


def test_manifests_of_either_name_are_found(tmp_path: Path) -> None:
    uri = table.parse(str(tmp_path / "t"))
    lance.write_dataset(some_rows(0, 4), uri.dataset, enable_v2_manifest_paths=False)
    for _ in range(3):
        heartbeat(uri)
    assert Path(uri.dataset, "_versions", "3.manifest").exists()
    require_versions(uri, 1, 4)
    Path(uri.dataset, "_versions", "3.manifest").unlink()
    with pytest.raises(RemovedVersionError, match=r"removed _versions/3\.manifest"):
        require_versions(uri, 1, 4)


@pytest.mark.parametrize(("heartbeats", "requests"), [(0, 6), (1, 10)])
def test_a_commit_costs_few_requests(heartbeats: int, requests: int, s3: S3, proxy: FaultyProxy) -> None:
    uri = table.parse(f"{s3.bucket()}/db/t")
    running = committer(uri)
    running.commit([table.stage(uri, some_rows(0, 4))])
    for _ in range(heartbeats):
        heartbeat(uri)
    staged = table.stage(uri, some_rows(4, 8))
    before = len(proxy.requests)
    assert running.commit([staged]).total() == 4
    assert len(proxy.requests) - before <= requests, proxy.requests[before:]
