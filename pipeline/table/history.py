"""When rows came into a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import lance

from pipeline.table.object_store import store_failures
from pipeline.table.store import Table

MAX_LOOKED_AT = 1_000
"""versions; a run that is at work makes one every eight seconds, whether rows come or not"""

# Lance names the newest version's manifest so that it sorts first.
_LAST_VERSION = (1 << 64) - 1


@dataclass(frozen=True)
class Commit:
    """A commit that brought rows in."""

    version: int
    rows: int
    time: datetime | None
    """when its version was written, by the clock of the store"""


def last_commit(table: Table) -> Commit | None:
    """The newest commit of rows among the last `MAX_LOOKED_AT` versions; None where there is none."""
    with store_failures(table.uri):
        for reference in table.dataset.version_refs()[: -MAX_LOOKED_AT - 1 : -1]:
            transaction = table.dataset.read_transaction(reference["version"])
            fragments = [] if transaction is None else _brought_in(transaction.operation)
            if fragments:
                rows = sum(fragment.physical_rows for fragment in fragments)
                return Commit(reference["version"], rows, _written_at(table, reference["version"]))
    return None


def rows_may_have_come_in(table: Table, since: int) -> bool:
    """Whether a commit after the version `since` brought rows in, or one of which nothing is known."""
    with store_failures(table.uri):
        found = [table.dataset.read_transaction(version) for version in range(since + 1, table.version + 1)]
    # a Merge adds columns, and is how rows come into a table that has lost all of its
    merge = lance.LanceOperation.Merge
    return any(
        transaction is None or isinstance(transaction.operation, merge) or _brought_in(transaction.operation)
        for transaction in found
    )


def _brought_in(operation: Any) -> Sequence[Any]:
    """The fragments of new rows. (Merging fragments and adding columns list those that were there.)"""
    found: Sequence[Any] = []
    if isinstance(operation, lance.LanceOperation.Update):
        found = operation.new_fragments
    elif isinstance(operation, lance.LanceOperation.Overwrite | lance.LanceOperation.Append):
        found = operation.fragments
    return found


def _written_at(table: Table, version: int) -> datetime | None:
    manifests = {f"_versions/{_LAST_VERSION - version}.manifest", f"_versions/{version}.manifest"}
    for batch in table.dataset.all_files():
        for path, time in zip(batch["path"].to_pylist(), batch["last_modified"].to_pylist(), strict=True):
            if path in manifests:
                written: datetime = time
                return written
    return None
