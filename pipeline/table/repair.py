"""Taking damaged rows out of a table, or values out of rows: each a single commit that nothing gets between.

Rows are named by their addresses (`_rowaddr`: fragment and place in it), which stay what they are until a fragment is
merged into another. So a change is built on the newest state, less the rows of fragments that are gone by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.commit import CommitConflictError

from pipeline.errors import TableError
from pipeline.table.commit import MAX_ATTEMPTS
from pipeline.table.lease import Lease
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.swap import swap
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

Addresses = npt.NDArray[np.uint64]
_Change = tuple[Any, int]
"""an operation of Lance's, None for nothing to do, and how many rows it changes"""


def delete_rows(uri: TableUri, addresses: Addresses) -> int:
    """Deletes rows; their sources then lack them, so that the next run on these embeds them again.

    Returns:
        how many rows; less than asked for where fragments were merged meanwhile.

    Raises:
        TableError: other writers were quicker, `MAX_ATTEMPTS` times.
    """
    numbers = addresses >> np.uint64(32)

    def change(table: Table) -> _Change:
        before = {fragment.fragment_id: fragment.count_rows() for fragment in table.dataset.get_fragments()}
        present = addresses[np.isin(numbers, np.array(list(before), np.uint64))]
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
        TableError: other writers were quicker, `MAX_ATTEMPTS` times.
    """
    gone: list[int] = []

    def change(table: Table) -> _Change:
        nonlocal gone
        numbers = find(table)
        present = [fragment.metadata for fragment in table.dataset.get_fragments()]
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
        TableError: other writers were quicker, `MAX_ATTEMPTS` times.
    """
    offsets = _by_fragment(addresses)

    def change(table: Table) -> _Change:
        updated, fields, rows = list[Any](), set[int](), 0
        for number, fragment in _present(table, offsets).items():
            nulls = {name: pa.nulls(len(offsets[number]), table.schema.field(name).type) for name in columns}
            places = pa.array((np.uint64(number) << np.uint64(32)) + offsets[number].astype(np.uint64))
            metadata, changed = fragment.update_columns(
                pa.table({"_rowaddr": places, **nulls}), left_on="_rowaddr", right_on="_rowaddr"
            )
            updated, rows = [*updated, metadata], rows + len(places)
            fields |= set(changed)
        operation = lance.LanceOperation.Update(
            updated_fragments=updated, fields_modified=sorted(fields), update_mode="rewrite_columns"
        )
        return (operation if updated else None), rows

    return _commit(uri, change)


def _commit(uri: TableUri, change: Callable[[Table], _Change]) -> int:
    with Lease(uri, "repair") as lease:  # what is staged is in use, though no version of the table refers to it yet
        for _ in range(MAX_ATTEMPTS):
            lease.keep()
            table = open_table(uri)
            with store_failures(uri):
                operation, rows = change(table)
                if operation is None:
                    return 0
                try:
                    lance.LanceDataset.commit(
                        uri.dataset,
                        lance.Transaction(table.version, operation),
                        max_retries=0,
                        storage_options=uri.storage_options,
                    )
                except CommitConflictError:
                    log.warning("table %s: another job has committed; taking its state", uri)
                else:
                    return rows
    raise TableError(f"table {uri}: {MAX_ATTEMPTS} commits in a row were refused; try again when other jobs are done")


def _by_fragment(addresses: Addresses) -> Mapping[int, npt.NDArray[np.int64]]:
    """Places in a fragment, by fragment."""
    numbers = (addresses >> np.uint64(32)).astype(np.int64)
    places = (addresses & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return {int(number): np.unique(places[numbers == number]) for number in np.unique(numbers)}


def _present(table: Table, numbers: Collection[int]) -> dict[int, Any]:
    return {
        fragment.fragment_id: fragment for fragment in table.dataset.get_fragments() if fragment.fragment_id in numbers
    }
