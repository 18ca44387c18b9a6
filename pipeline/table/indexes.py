"""The indexes of a table: rows that came after one was built are found by it only once it is brought up to date."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.uri import TableUri


@dataclass(frozen=True)
class Index:
    name: str
    rows: int
    """that it covers"""
    rows_without: int
    """rows of the table that it does not cover: each search reads all of them"""


def list_indexes(table: Table) -> list[Index]:
    """The indexes of this state."""
    found = []
    with store_failures(table.uri):
        for description in table.dataset.describe_indices():
            numbers = table.dataset.stats.index_stats(description.name)
            found.append(Index(description.name, numbers["num_indexed_rows"], numbers["num_unindexed_rows"]))
    return found


def update_indexes(uri: TableUri) -> None:
    """Brings every index up to date."""
    with store_failures(uri):
        open_table(uri).dataset.optimize.optimize_indices()
