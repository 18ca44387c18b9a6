"""Deletes damaged rows of a table, or clears values in rows. Each change is one atomic commit.

Rows are named by their addresses (`_rowaddr`: fragment and position in it). An address is valid until its fragment is
merged into another. So a change is made for the newest snapshot, and skips rows of fragments that no longer exist.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from pipeline.fileformats.row_address import ROW_ADDRESS, Addresses, addresses_in, by_fragment, fragments_of
from pipeline.table.lease import at_work
from pipeline.table.store import Table
from pipeline.table.swap import swap
from pipeline.table.transactions import commit, commit_by_lance, until_landed
from pipeline.table.uri import TableUri

_Change = tuple[Any, int]
"""a Lance operation, or None if there is nothing to do; and how many rows it changes"""


def delete_rows(uri: TableUri, addresses: Addresses) -> int:
    """Deletes rows. The next run on their sources embeds them again.

    Returns:
        how many rows were deleted; fewer than given if fragments were merged meanwhile.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """
    numbers = fragments_of(addresses)

    def change(table: Table) -> _Change:
        before = {fragment.fragment_id: fragment.count_rows() for fragment in table.lance.get_fragments()}
        present = addresses[np.isin(numbers, list(before))]
        if not len(present):
            return None, 0
        operation = swap(table, pa.array(present), [])
        after = {fragment.id: fragment.num_rows for fragment in operation.updated_fragments}
        rows = sum(before[number] for number in operation.removed_fragment_ids)
        rows += sum(before[number] - left for number, left in after.items())
        return (operation if rows else None), rows

    return _commit(uri, change)


def drop_fragments(uri: TableUri, find: Callable[[Table], Collection[int]]) -> tuple[int, int]:
    """Drops the lost fragments that `find` returns, without reading them.

    `find` is called with the snapshot that is changed, because a fragment that an older snapshot lacked may exist by
    then.

    Returns:
        how many fragments were dropped, and how many rows they had.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """
    dropped: list[int] = []

    def change(table: Table) -> _Change:
        nonlocal dropped
        numbers = find(table)
        present = [fragment.metadata for fragment in table.lance.get_fragments()]
        lost = [metadata for metadata in present if metadata.id in numbers]
        # as `swap` does: the first fragment, unchanged, makes it a compare-and-swap
        first = [metadata for metadata in present[:1] if metadata.id not in numbers]
        dropped = [metadata.id for metadata in lost]
        operation = lance.LanceOperation.Update(removed_fragment_ids=dropped, updated_fragments=first)
        return (operation if lost else None), sum(metadata.num_rows for metadata in lost)

    rows = _commit(uri, change)
    return len(dropped), rows


def clear_values(uri: TableUri, addresses: Addresses, columns: Sequence[str]) -> int:
    """Sets columns to null in rows.

    Returns:
        how many rows were changed; fewer than given if fragments were merged meanwhile.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """
    places = by_fragment(addresses)

    def change(table: Table) -> _Change:
        updated, fields, rows = list[Any](), set[int](), 0
        for number, fragment in _present(table, places).items():
            cleared = pa.array(addresses_in(number, places[number]))
            nulls = {name: pa.nulls(len(cleared), table.schema.field(name).type) for name in columns}
            metadata, changed = fragment.update_columns(
                pa.table({ROW_ADDRESS: cleared, **nulls}), left_on=ROW_ADDRESS, right_on=ROW_ADDRESS
            )
            updated, rows = [*updated, metadata], rows + len(cleared)
            fields |= set(changed)
        operation = lance.LanceOperation.Update(
            updated_fragments=updated, fields_modified=sorted(fields), update_mode="rewrite_columns"
        )
        return (operation if updated else None), rows

    return _commit(uri, change)


def allow_nulls(uri: TableUri, columns: Sequence[str]) -> None:
    """Lets columns hold nulls.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """

    def change(table: Table) -> None:
        nullable = [{"path": name, "nullable": True} for name in columns]
        commit_by_lance(table, lambda: table.lance.alter_columns(*nullable))

    until_landed(uri, change)


def _commit(uri: TableUri, change: Callable[[Table], _Change]) -> int:
    def landed(table: Table) -> int:
        lease.keep()
        operation, rows = change(table)
        if operation is not None:
            commit(uri, table.version, operation)
        return rows

    with at_work(uri, "repair") as lease:
        return until_landed(uri, landed)


def _present(table: Table, numbers: Collection[int]) -> dict[int, Any]:
    return {
        fragment.fragment_id: fragment for fragment in table.lance.get_fragments() if fragment.fragment_id in numbers
    }
