"""Filling columns of rows that are there: new column files beside the old ones, vectors untouched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing

import lance
import pyarrow as pa

from pipeline.errors import TableError
from pipeline.iteration import grouped
from pipeline.table.column_file import FragmentUpdate
from pipeline.table.commit import require_visible
from pipeline.table.fill import Compute, Fill, Filled, RunFill, one_by_one
from pipeline.table.lease import Lease, at_work
from pipeline.table.store import Table, open_table
from pipeline.table.transactions import attempts, commit, until_landed
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

ROWS_PER_COMMIT = 1 << 20
SECONDS_PER_COMMIT = 30.0
"""where rows take long: what a killed run loses"""


def add_columns(uri: TableUri, columns: pa.Schema) -> None:
    """Gives a table these columns, null in every row, as far as it lacks them; its files stay as they are.

    Raises:
        TableError: it has one of them with another type, or `MAX_ATTEMPTS` commits in a row were refused.
    """

    def change(table: Table) -> None:
        there = {field.name: field.type for field in table.schema}
        for field in columns:
            if there.get(field.name, field.type) != field.type:
                raise TableError(
                    f"table {uri}: has a column {field.name!r} of {there[field.name]} already, and {field.type} is "
                    "needed; embed without keeping that column"
                )
        missing = [field for field in columns if field.name not in there]
        if missing:
            table.lance.add_columns(pa.schema(missing))

    until_landed(uri, change)


def annotate_columns(uri: TableUri, columns: Sequence[str], key: str, value: str) -> None:
    """Writes an entry into the metadata of columns, in place of what it held by that key.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """

    def change(table: Table) -> None:
        table.lance.update_field_metadata({column: {key: value} for column in columns})

    until_landed(uri, change)


def fill_columns(
    uri: TableUri, work: str, read: Sequence[str], where: str, compute: Compute, run: RunFill = one_by_one
) -> Iterator[int]:
    """Computes columns from the columns `read`, for the rows that meet `where`; others keep what they hold.

    Yields the number of rows of each commit. Rows appended meanwhile may be left for another call. `compute` gives
    columns that the table has, by name. Where another job merges fragments meanwhile, the merged ones are gone through
    again: `where` should leave out what is filled. `run` stages what is computed, here or elsewhere.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused; or a node staged into a folder of its own.
    """
    table = open_table(uri)
    if not table.any(where):
        return
    with at_work(uri, work) as lease:
        yield from _fill(table, lease, Fill(uri, read, where, compute), run)


def _fill(table: Table, lease: Lease, fill: Fill, run: RunFill) -> Iterator[int]:
    waiting = _fragments(table)
    done = set[int]()
    fruitless = attempts(table.uri)
    attempt = next(fruitless)
    while waiting:
        before = len(done)
        # each try in vain makes the next one smaller, so that it is done before another job commits again
        with closing(run(fill, waiting)) as computed:
            present = (item for item in computed if item is not None)
            most = (ROWS_PER_COMMIT >> attempt, lambda item: item.rows)
            for group in grouped(present, most, seconds=SECONDS_PER_COMMIT):
                lease.keep()
                landed = _commit(table.uri, [item for item in group if item.update is not None])
                done.update(item.fragment_id for item in [*landed, *(item for item in group if item.update is None)])
                if landed:
                    yield sum(item.rows for item in landed)
        if len(done) > before:
            fruitless = attempts(table.uri)
        attempt = next(fruitless)
        waiting = _left(_fragments(open_table(table.uri)), waiting, done)


def _left(present: Sequence[int], waiting: Sequence[int], done: set[int]) -> list[int]:
    """The fragments to fill that are not filled yet; where one has been merged into another since, all others too."""
    left = [number for number in waiting if number not in done]
    return left if set(left) <= set(present) else [number for number in present if number not in done]


def _commit(uri: TableUri, staged: Sequence[Filled]) -> list[Filled]:
    """Those whose fragments are still what they were computed from, which are in the table now; others are void."""
    for item in staged[:1]:
        require_visible(uri, item.staged_file)

    def change(table: Table) -> list[Filled]:
        present = {fragment.fragment_id: fragment.metadata for fragment in table.lance.get_fragments()}
        valid = [item for item in staged if present.get(item.fragment_id) == item.base]
        if valid:
            commit_columns(table, [item.update for item in valid if item.update is not None])
        return valid

    return until_landed(uri, change)


def _fragments(table: Table) -> list[int]:
    return [fragment.fragment_id for fragment in table.lance.get_fragments()]


def commit_columns(table: Table, updates: Sequence[FragmentUpdate]) -> None:
    """Commits new columns of fragments, once, to a table whose newest version is this one.

    Raises:
        OSError: as `transactions.commit`.
    """
    operation = lance.LanceOperation.Update(
        updated_fragments=[metadata for metadata, _ in updates],
        fields_modified=sorted({field for _, changed in updates for field in changed}),
        update_mode="rewrite_columns",
    )
    commit(table.uri, table.version, operation)
