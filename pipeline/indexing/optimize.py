"""Keeps a table in shape: brings indexes up to date, merges small fragments, removes old versions and leftovers."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import table
from pipeline.indexing.building import building
from pipeline.indexing.run import OnValues, update_indexes
from pipeline.indexing.vectors import OnVectors
from pipeline.table import TableUri


@dataclass(frozen=True)
class Optimized:
    fragments_before: int
    fragments: int
    indexes: tuple[OnVectors | OnValues, ...]
    bytes_removed: int
    """of files that only old versions used"""


def optimize(uri: TableUri) -> Optimized:
    """Does all three. Other runs may change the table meanwhile; versions with a tag, and those of the last day, stay.

    Raises:
        TableError: another run builds indexes, or others have committed again and again before a merge was done.
    """
    with building(uri):
        before = table.open_table(uri).fragments
        # Indexes first: only fragments that the same indexes cover are merged.
        indexes = tuple(update_indexes(uri))
        table.merge_all(uri)
        removed = table.remove_old_versions(table.open_table(uri))
        return Optimized(before, table.open_table(uri).fragments, indexes, removed)
