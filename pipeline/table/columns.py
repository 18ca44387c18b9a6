"""Filling columns of rows that are there: new column files beside the old ones, vectors untouched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lance
import pyarrow as pa
from lance.commit import CommitConflictError

from pipeline.errors import TableError
from pipeline.table.commit import MAX_ATTEMPTS
from pipeline.table.lease import Lease
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

ROWS_PER_COMMIT = 1 << 20

Compute = Callable[[pa.RecordBatch], dict[str, pa.Array]]
FragmentUpdate = tuple[Any, list[int]]
"""a fragment's new metadata, and the fields that it changes"""


def add_columns(uri: TableUri, columns: pa.Schema) -> None:
    """Gives a table these columns, null in every row, as far as it lacks them; its files stay as they are.

    Raises:
        TableError: it has one of them with another type, or other writers were quicker, `MAX_ATTEMPTS` times.
    """
    for _ in range(MAX_ATTEMPTS):
        table = open_table(uri)
        there = {field.name: field.type for field in table.schema}
        for field in columns:
            if there.get(field.name, field.type) != field.type:
                raise TableError(
                    f"table {uri}: has a column {field.name!r} of {there[field.name]} already, and {field.type} is "
                    "needed; embed without keeping that column"
                )
        missing = [field for field in columns if field.name not in there]
        if not missing:
            return
        with store_failures(uri):
            try:
                table.dataset.add_columns(pa.schema(missing))
            except CommitConflictError:  # an OSError too
                continue
    raise TableError(f"table {uri}: {MAX_ATTEMPTS} commits in a row were refused; try again when other jobs are done")


def annotate_columns(uri: TableUri, columns: Sequence[str], key: str, value: str) -> None:
    """Writes an entry into the metadata of columns, in place of what it held by that key.

    Raises:
        TableError: other writers were quicker, `MAX_ATTEMPTS` times.
    """
    for _ in range(MAX_ATTEMPTS):
        table = open_table(uri)
        with store_failures(uri):
            try:
                table.dataset.update_field_metadata({column: {key: value} for column in columns})
            except CommitConflictError:  # an OSError too
                continue
            return
    raise TableError(f"table {uri}: {MAX_ATTEMPTS} commits in a row were refused; try again when other jobs are done")


def fill_columns(uri: TableUri, work: str, read: Sequence[str], where: str, compute: Compute) -> Iterator[int]:
    """Computes columns from the columns `read`, for the rows that meet `where`; others keep what they hold.

    Yields the number of rows of each commit. Rows appended meanwhile may be left for another call. `compute` gives
    columns that the table has, by name. Where another job merges fragments meanwhile, the merged ones are gone through
    again: `where` should leave out what is filled.

    Raises:
        TableError: other writers were quicker, `MAX_ATTEMPTS` times.
    """
    with Lease(uri, work) as lease:
        yield from _fill(uri, lease, read, where, compute)


def _fill(uri: TableUri, lease: Lease, read: Sequence[str], where: str, compute: Compute) -> Iterator[int]:
    table = open_table(uri)
    waiting = _fragments(table)
    attempts = 0
    while waiting:
        group: list[int] = []
        rows, updates = 0, list[FragmentUpdate]()
        for fragment_id in waiting:
            group.append(fragment_id)
            filled, update = _fill_fragment(table, lease, fragment_id, read, where, compute)
            if update is not None:
                rows, updates = rows + filled, [*updates, update]
            # each refusal makes the next try smaller, so that it is done before another job commits again
            if rows >= ROWS_PER_COMMIT >> attempts:
                break
        if updates and not commit_columns(table, updates):
            attempts += 1
            if attempts == MAX_ATTEMPTS:
                raise TableError(
                    f"table {uri}: {attempts} commits in a row were refused; try again when other jobs are done"
                )
            log.warning("table %s: another job has committed; taking its state", uri)
            table = open_table(uri)
            waiting = _still_there(table, waiting)
            continue
        waiting, attempts = waiting[len(group) :], 0
        if updates:
            table = open_table(uri)
            waiting = _still_there(table, waiting)
            yield rows


def _still_there(table: Table, waiting: list[int]) -> list[int]:
    """The fragments that are left to fill; all of them, where one has been merged into another since."""
    present = _fragments(table)
    return waiting if set(waiting) <= set(present) else present


def _fragments(table: Table) -> list[int]:
    return [fragment.fragment_id for fragment in table.dataset.get_fragments()]


def _fill_fragment(
    table: Table, lease: Lease, fragment_id: int, read: Sequence[str], where: str, compute: Compute
) -> tuple[int, FragmentUpdate | None]:
    """(rows filled, how), or (0, None) where no row meets `where`."""
    fragment = table.dataset.get_fragment(fragment_id)
    with store_failures(table.uri):
        batches = fragment.to_batches(columns=list(read), filter=where, with_row_address=True)
        filled = [pa.table({"_rowaddr": batch["_rowaddr"], **compute(batch)}) for batch in batches if batch.num_rows]
    if not filled:
        return 0, None
    lease.keep()  # what is staged from here on is in use, though no version of the table refers to it
    values = pa.concat_tables(filled)
    with store_failures(table.uri):
        metadata, fields = fragment.update_columns(values, left_on="_rowaddr", right_on="_rowaddr")
    return values.num_rows, (metadata, fields)


def commit_columns(table: Table, updates: Sequence[FragmentUpdate]) -> bool:
    """Commits new columns of fragments to a table whose state is still this one; False where it is not."""
    fragments = [metadata for metadata, _ in updates]
    fields = sorted({field for _, changed in updates for field in changed})
    operation = lance.LanceOperation.Update(
        updated_fragments=fragments, fields_modified=fields, update_mode="rewrite_columns"
    )
    with store_failures(table.uri):
        try:
            lance.LanceDataset.commit(
                table.uri.dataset,
                lance.Transaction(table.version, operation),
                max_retries=0,
                storage_options=table.uri.storage_options,
            )
        except CommitConflictError:  # an OSError too
            return False
    return True
