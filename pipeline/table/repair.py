"""Taking damaged rows out of a table, or values out of rows: each a single commit that nothing gets between.

Rows are named by their addresses (`_rowaddr`: fragment and place in it), which stay what they are until a fragment is
merged into another. So a change is built on the newest state, less the rows of fragments that are gone by then.
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
from pipeline.table.transactions import commit, until_landed
from pipeline.table.uri import TableUri

_Change = tuple[Any, int]
"""an operation of Lance's, None for nothing to do, and how many rows it changes"""


def delete_rows(uri: TableUri, addresses: Addresses) -> int:
    """Deletes rows; their sources then lack them, so that the next run on these embeds them again.

    Returns:
        how many rows; less than asked for where fragments were merged meanwhile.

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
    """Takes fragments out of the table without reading them: those that `find` gives as lost.

    It is asked of the state that is changed: what was lost in an older one may be whole by then.

    Returns:
        how many fragments, and how many rows they held.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """
    gone: list[int] = []

    def change(table: Table) -> _Change:
        nonlocal gone
        numbers = find(table)
        present = [fragment.metadata for fragment in table.lance.get_fragments()]
        lost = [metadata for metadata in present if metadata.id in numbers]
        # as `swap` does: the first fragment, unchanged, makes it a compare-and-swap
        first = [metadata for metadata in present[:1] if metadata.id not in numbers]
        gone = [metadata.id for metadata in lost]
        operation = lance.LanceOperation.Update(removed_fragment_ids=gone, updated_fragments=first)
        return (operation if lost else None), sum(metadata.num_rows for metadata in lost)

    rows = _commit(uri, change)
    return len(gone), rows


def clear_values(uri: TableUri, addresses: Addresses, columns: Sequence[str]) -> int:
    """Makes columns null in rows.

    Returns:
        how many rows; less than asked for where fragments were merged meanwhile.

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
