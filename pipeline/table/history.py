"""When rows were added to a table, and which runs added them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import lance

from pipeline import schema
from pipeline.table.lease import holders_in
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table
from pipeline.table.transactions import is_removed_version
from pipeline.table.versions import manifests

MAX_LOOKED_AT = 1_000
"""versions; an active run writes a version every eight seconds, even when it adds no rows"""


@dataclass(frozen=True)
class Commit:
    """A commit that added rows."""

    version: int
    rows: int
    time: datetime | None
    """when this version was written, by the store's clock"""


@dataclass(frozen=True)
class Sign:
    """A trace of an active run in the table: a commit of rows, or a heartbeat."""

    version: int
    rows: int
    """0 for a heartbeat"""
    time: datetime | None
    """when this version was written, by the store's clock"""
    settings: str | None
    """of a commit of rows: the options of the run, as JSON"""
    work: str | None
    """of a heartbeat: what the run does"""


def signs_of_work(table: Table, most: int) -> list[Sign]:
    """The signs of runs in the last `most` versions, oldest first. Versions that a cleanup removed leave no sign."""
    with store_failures(table.uri):
        found = list(_signs(table, most))
        times = _written_at(table, {sign.version for sign in found})
    return [replace(sign, time=times.get(sign.version)) for sign in reversed(found)]


def _signs(table: Table, most: int) -> Iterator[Sign]:
    """Newest first, without times."""
    for version, transaction in _transactions(table, most):
        if rows := _rows(transaction.operation):
            settings = (transaction.transaction_properties or {}).get(schema.SETTINGS_KEY)
            yield Sign(version, rows, None, settings, None)
        elif isinstance(transaction.operation, lance.LanceOperation.UpdateConfig):
            changed = transaction.operation.config_updates
            for holder in holders_in(changed.updates if changed else {}).values():
                yield Sign(version, 0, None, None, holder.work)


@dataclass(frozen=True)
class RunCommit:
    """A commit of a run that has a record."""

    version: int
    rows: Mapping[str, int]
    """that it added, by status"""


def commits_of_run(table: Table, run: str, since: int | None, most: int) -> list[RunCommit]:
    """The commits of a run in the `most` versions after the version `since`, or else in the last ones, oldest first."""
    found = []
    with store_failures(table.uri):
        for version, transaction in _transactions(table, most, since):
            note = json.loads((transaction.transaction_properties or {}).get(schema.RUN_KEY, "{}"))
            if note.pop("id", None) == run:
                found.append(RunCommit(version, note))
    return found[::-1]


def last_commit(table: Table) -> Commit | None:
    """The newest commit of rows among the last `MAX_LOOKED_AT` versions, or None."""
    with store_failures(table.uri):
        for version, transaction in _transactions(table, MAX_LOOKED_AT):
            if rows := _rows(transaction.operation):
                return Commit(version, rows, _written_at(table, {version}).get(version))
    return None


def has_landed(table: Table, uuid: str, most: int) -> bool:
    """Whether the transaction of that id is among those of the last `most` versions."""
    return any(transaction.uuid == uuid for _, transaction in _transactions(table, most))


def _transactions(table: Table, most: int, since: int | None = None) -> Iterator[tuple[int, Any]]:
    """(version, transaction) of the last `most` versions up to the table's own, newest first.

    A version without a readable transaction is skipped. `since`: instead, of the first `most` versions after that one.
    """
    versions = [found["version"] for found in table.lance.version_refs() if found["version"] <= table.version]
    if since is not None:
        versions = [version for version in versions if since < version <= since + most]
    for version in versions[: -most - 1 : -1]:
        transaction = _transaction(table, version)
        if transaction is not None:
            yield version, transaction


def _transaction(table: Table, version: int) -> Any:
    """What the commit of that version did; None where that is not known.

    A cleanup may have removed the version. And pylance 14.0.2 cannot read back a merge of fragments that has rewritten
    an index: it raises a TypeError for `RewrittenIndex`.
    """
    try:
        return table.lance.read_transaction(version)
    except TypeError:
        return None
    except OSError as error:
        if not is_removed_version(error):
            raise
        return None


def _rows(operation: Any) -> int:
    return sum(fragment.physical_rows for fragment in _brought_in(operation))


def rows_may_have_come_in(table: Table, since: int) -> bool:
    """Whether a commit after the version `since` added rows, or may have: its transaction cannot be read."""
    with store_failures(table.uri):
        found = [_transaction(table, version) for version in range(since + 1, table.version + 1)]
    # A Merge adds columns. It also adds rows to a table whose every row was deleted.
    merge = lance.LanceOperation.Merge
    return any(
        transaction is None or isinstance(transaction.operation, merge) or _brought_in(transaction.operation)
        for transaction in found
    )


def _brought_in(operation: Any) -> Sequence[Any]:
    """The fragments of new rows. None for operations that merge fragments or add columns: they list existing rows."""
    found: Sequence[Any] = []
    if isinstance(operation, lance.LanceOperation.Update):
        found = operation.new_fragments
    elif isinstance(operation, lance.LanceOperation.Overwrite | lance.LanceOperation.Append):
        found = operation.fragments
    return found


def _written_at(table: Table, versions: Collection[int]) -> Mapping[int, datetime]:
    named = {name: version for version in versions for name in manifests(version)}
    return {
        named[path]: time
        for batch in table.lance.all_files()
        for path, time in zip(batch["path"].to_pylist(), batch["last_modified"].to_pylist(), strict=True)
        if path in named
    }
