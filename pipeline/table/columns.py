"""Fills columns of existing rows: writes new column files beside the old files, and leaves the vectors as they are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

import lance
import pyarrow as pa

from pipeline.errors import TableError
from pipeline.iteration import grouped
from pipeline.progress import current
from pipeline.table.clean import last_cleaning
from pipeline.table.column_file import FragmentUpdate
from pipeline.table.fill import Compute, Fill, Filled, RunFill, one_by_one
from pipeline.table.lease import Lease, at_work
from pipeline.table.staged_files import require_staged
from pipeline.table.store import Table, open_table
from pipeline.table.transactions import attempts, commit, commit_by_lance, until_landed
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

ROWS_PER_COMMIT = 1 << 20
SECONDS_PER_COMMIT = 30.0
"""limit for slow rows: a killed run loses at most this much work"""


def add_columns(uri: TableUri, columns: pa.Schema) -> None:
    """Adds the columns that the table lacks, null in every row. Its files do not change.

    Raises:
        TableError: the table has one of them with another type, or `MAX_ATTEMPTS` commits in a row were refused.
    """

    def change(table: Table) -> None:
        there = {field.name: field.type for field in table.schema}
        for field in columns:
            if there.get(field.name, field.type) != field.type:
                raise TableError(
                    f"table {uri}: its column {field.name!r} has type {there[field.name]}, but {field.type} is needed; "
                    f"embed into another --table, without {field.name!r} in --keep-cols"
                )
        missing = [field for field in columns if field.name not in there]
        if missing:
            commit_by_lance(table, lambda: table.lance.add_columns(pa.schema(missing)))

    until_landed(uri, change)


def annotate_columns(uri: TableUri, columns: Sequence[str], key: str, value: str) -> None:
    """Sets an entry of the metadata of columns. Replaces an earlier value of the key.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """

    def change(table: Table) -> None:
        table.lance.update_field_metadata({column: {key: value} for column in columns})

    until_landed(uri, change)


def fill_columns(
    uri: TableUri,
    work: str,
    read: Sequence[str],
    where: str,
    compute: Compute,
    run: RunFill = one_by_one,
    require: Callable[[Table], None] | None = None,
) -> Iterator[int]:
    """Computes columns for the rows that meet `where`. Other rows keep their values.

    Rows appended meanwhile may be left for another call. If another job merges fragments meanwhile, this goes through
    the merged ones again, so `where` should exclude rows that are filled already.

    Args:
        read: columns that `compute` needs.
        compute: returns the new values by column name. The table must have these columns.
        run: stages the computed columns, in this process or in others.
        require: raises an error if the table is not as `compute` needs it. It is called when no other run can begin
            the same work any more.

    Yields:
        the number of rows of each commit.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused, or a node wrote to a folder that is not shared.
    """
    table = open_table(uri)
    if not table.any(where):
        return
    with at_work(uri, work) as lease:
        if require is not None:
            require(open_table(uri))
        yield from _fill(table, lease, Fill(uri, read, where, compute), run, work)


def _fill(table: Table, lease: Lease, fill: Fill, run: RunFill, work: str) -> Iterator[int]:
    waiting = _fragments(table)
    done = set[int]()
    fruitless = attempts(table.uri)
    attempt = next(fruitless)
    while waiting:
        before = len(done)
        current.begin(work, _rows_in(table, waiting))
        # each refused attempt halves the next commit, so that it is ready before another job commits again
        with closing(run(fill, waiting)) as computed:
            present = _counted(item for item in computed if item is not None)
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
        table = open_table(table.uri)
        waiting = _left(_fragments(table), waiting, done)


def _rows_in(table: Table, fragments: Sequence[int]) -> int:
    wanted = set(fragments)
    return sum(f.metadata.num_rows for f in table.lance.get_fragments() if f.fragment_id in wanted)


def _counted(items: Iterable[Filled]) -> Iterator[Filled]:
    """The same items. Counts all rows of their fragments, because each was looked at."""
    for item in items:
        current.add(item.base.num_rows)
        yield item


def _left(present: Sequence[int], waiting: Sequence[int], done: set[int]) -> list[int]:
    """The fragments still to fill. If one of them was merged into another since, all fragments that are not done."""
    left = [number for number in waiting if number not in done]
    return left if set(left) <= set(present) else [number for number in present if number not in done]


def _commit(uri: TableUri, staged: Sequence[Filled]) -> list[Filled]:
    """Commits and returns the items whose fragments are unchanged since they were computed. Skips the others.

    Skips all that were written before a cleaning, too, because their files may be gone.
    """
    require_staged(uri, [item.staged_file for item in staged])

    def change(table: Table) -> list[Filled]:
        present = {fragment.fragment_id: fragment.metadata for fragment in table.lance.get_fragments()}
        cleaning = last_cleaning(table)
        valid = [item for item in staged if present.get(item.fragment_id) == item.base and item.cleaning == cleaning]
        if valid:
            commit_columns(table, [item.update for item in valid if item.update is not None])
        return valid

    return until_landed(uri, change)


def _fragments(table: Table) -> list[int]:
    return [fragment.fragment_id for fragment in table.lance.get_fragments()]


def commit_columns(table: Table, updates: Sequence[FragmentUpdate]) -> None:
    """Commits new columns of fragments, without retries. `table` must be the newest version.

    Raises:
        OSError: as `transactions.commit`.
    """
    operation = lance.LanceOperation.Update(
        updated_fragments=[metadata for metadata, _ in updates],
        fields_modified=sorted({field for _, changed in updates for field in changed}),
        update_mode="rewrite_columns",
    )
    commit(table.uri, table.version, operation)
