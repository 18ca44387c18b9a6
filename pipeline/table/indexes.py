"""The indexes of a table. An index covers the rows that existed when it was built or last updated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.table.files import sizes_of_indexes
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.transactions import commit_by_lance, until_landed
from pipeline.table.uri import TableUri
from pipeline.table.vector_index import drop_impossible_indexes

_INTERNAL = "__lance_"
"""begins the names of indexes that Lance keeps for itself, e.g. after a compaction that defers remapping"""


@dataclass(frozen=True)
class Index:
    name: str
    rows: int
    """rows that the index covers"""
    rows_without: int
    """rows that the index does not cover: each search reads all of them"""


def list_indexes(table: Table, but: Collection[str] = ()) -> list[Index]:
    """The indexes of this snapshot, without those named in `but`."""
    found = []
    with store_failures(table.uri):
        for description in table.lance.describe_indices():
            if description.name in but or description.name.startswith(_INTERNAL):
                continue
            numbers = table.lance.stats.index_stats(description.name)
            found.append(Index(description.name, numbers["num_indexed_rows"], numbers["num_unindexed_rows"]))
    return found


def lost_indexes(table: Table) -> list[str]:
    """Names of the indexes that have a missing or truncated file. A search that uses such an index fails."""
    with store_failures(table.uri):
        described = table.lance.describe_indices()
        stored = sizes_of_indexes(table) if described else {}
        return [
            index.name
            for index in described
            if not index.name.startswith(_INTERNAL)
            and any(stored.get(part.uuid, 0) < (part.size_bytes or 1) for part in index.segments)
        ]


def drop_indexes(uri: TableUri, names: Sequence[str]) -> None:
    """Drops indexes from a table. Searches then read all of its rows."""
    with store_failures(uri):
        dataset = open_table(uri).lance
        for name in names:
            dataset.drop_index(name)


def rebuild_indexes(uri: TableUri) -> None:
    """Builds every index anew from the rows that there are, so that nothing of rows that are gone remains in one.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """

    drop_impossible_indexes(uri)

    def change(table: Table) -> None:
        names = [index.name for index in table.lance.describe_indices() if not index.name.startswith(_INTERNAL)]
        if names:
            commit_by_lance(table, lambda: table.lance.optimize.optimize_indices(index_names=names, retrain=True))

    until_landed(uri, change)


def update_indexes(uri: TableUri) -> None:
    """Brings every index up to date."""
    drop_impossible_indexes(uri)
    with store_failures(uri):
        open_table(uri).lance.optimize.optimize_indices()
