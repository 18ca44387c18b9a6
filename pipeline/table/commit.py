"""Exactly-once commits: tasks stage fragment files, and one committer adds them to the table.

A staged fragment is garbage until its commit. A commit is atomic, so a killed run leaves only complete commits. Two
committers must not both commit the same rows. Lance's Append would allow it, because it rebases on any commit made in
between. So every commit here is a compare-and-swap on the version that the committer read last:

- The first commit is an Overwrite of version 0 without retries. Lance refuses it if another run has created the table.
- A later commit is an Update that lists the table's first fragment, unchanged, as updated. Lance refuses it if another
  run has committed such an Update since. Commits that change no data (tags, configuration) do not conflict with it.
- On a table whose every row was deleted, the commit is a Merge. It conflicts with any other commit of data.

After a refusal the committer reads the newest version, drops the rows that are committed by now, and retries. If files
were cleaned away meanwhile (`pipeline.table.clean`), it also writes its rows anew. A run that replaces rows
(`pipeline.table.replacing`) deletes the old rows in the commit that adds the new ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata, write_fragments

from pipeline import schema, this_run
from pipeline.errors import OutdatedError, TableError
from pipeline.sample import shown_reject
from pipeline.storage import retries
from pipeline.storage.lance_store import broke_connection
from pipeline.table import compact, transactions
from pipeline.table.clean import last_cleaning
from pipeline.table.history import has_landed, rows_may_have_come_in
from pipeline.table.object_store import store_failures
from pipeline.table.replacing import COMPARED, ITEM, POSITION, Replacing, fit
from pipeline.table.staged_files import require_staged
from pipeline.table.store import Table, open_if_exists, open_table, require_same
from pipeline.table.swap import swap
from pipeline.table.tombstones import tombstones
from pipeline.table.transactions import MAX_ATTEMPTS, attempts
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

_Positions = npt.NDArray[np.int64]
"""positions of rows among the rows that were staged together"""


@dataclass(frozen=True)
class Staged:
    """Rows written to fragment files, not yet part of the table."""

    fragments: tuple[FragmentMetadata, ...]
    outcomes: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    """rows by (status, reason)"""
    reject_examples: Mapping[str, str] = field(default_factory=dict)
    """the message of one rejected row for each reason, as commands print it"""
    retries: Mapping[str, int] = field(default_factory=dict)
    """how often reads of these rows were retried, by cause"""
    sources: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    """for rows that replace others: rows staged here of each source, and rows in the source where that is known"""

    @property
    def rows(self) -> int:
        return sum(self.outcomes.values())

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.file_size_bytes or 0 for fragment in self.fragments for file in fragment.files)


@dataclass(frozen=True)
class Change:
    """What one commit does."""

    staged: Sequence[Staged]
    """rows to add"""
    gone: pa.Array = field(default_factory=lambda: pa.array([], pa.uint64()))
    """uint64, addresses of the rows to delete"""

    def __bool__(self) -> bool:
        return bool(self.staged) or len(self.gone) > 0


def stage(uri: TableUri, rows: pa.Table, by_source: bool = False) -> Staged:
    """Writes rows to fragment files in the table's folder. The rows must have the table's schema.

    `by_source`: also count the rows of each source.

    Raises:
        TableError: another program has changed the table's columns.
    """
    try:
        with store_failures(uri):
            fragments = write_fragments(rows, uri.dataset, schema=rows.schema, storage_options=uri.storage_options)
    except TableError:
        if table := open_if_exists(uri):
            require_same(table, rows.schema)  # names the column, which Lance's message does not explain
        raise
    by_outcome = rows.group_by([schema.STATUS, schema.REASON], use_threads=False)
    first = pc.ScalarAggregateOptions(skip_nulls=False)
    message = (schema.SOURCE, schema.SOURCE_ROW, schema.ERROR_MESSAGE)
    counted = by_outcome.aggregate([([], "count_all"), *((name, "first", first) for name in message)]).to_pylist()
    outcomes = {(row[schema.STATUS], row[schema.REASON]): row["count_all"] for row in counted}
    examples = {
        str(row[schema.REASON]): shown_reject(*(row[f"{name}_first"] for name in message))
        for row in counted
        if row[schema.STATUS] == schema.REJECTED
    }
    return Staged(tuple(fragments), outcomes, examples, sources=_count_sources(rows) if by_source else {})


def _count_sources(rows: pa.Table) -> dict[str, tuple[int, int | None]]:
    counted = rows.group_by(schema.SOURCE).aggregate([([], "count_all"), (schema.SOURCE_ROWS, "max")])
    return {row[schema.SOURCE]: (row["count_all"], row[f"{schema.SOURCE_ROWS}_max"]) for row in counted.to_pylist()}


class Committer:
    """The only writer of rows in a run. `table` is the snapshot it read last, or None before the table exists.

    `settings` holds the options of the run, as JSON without secrets. Each commit carries it.
    """

    def __init__(
        self,
        uri: TableUri,
        table_schema: pa.Schema,
        table: Table | None,
        replacing: Replacing | None = None,
        settings: str = "{}",
    ) -> None:
        self.uri = uri
        self._properties = {schema.SETTINGS_KEY: settings}
        self.table = table
        self._schema = table_schema
        self._replacing = replacing or Replacing()
        # After another run's commit, the table holds rows that this run's plan does not know. From then on every staged
        # row is looked up in the table, not only the rows of the refused commit.
        self._overtaken = False
        self._cleaning = last_cleaning(table)
        """the last one before this run staged rows"""
        self._commits = 0
        self._landed = frozenset[str]()
        """files of the last commit"""
        self.dropped = 0
        """staged rows that were not committed, because another run committed them or another version of their source"""

    def commit(self, staged: Sequence[Staged]) -> Counter[tuple[str, str | None]]:
        """Adds staged rows to the table in one atomic commit, except rows that another run has committed.

        The same commit deletes the rows that they replace. A caller that was interrupted during a commit may repeat it.

        Returns:
            rows by (status, reason) that this commit added.

        Raises:
            TableError: `MAX_ATTEMPTS` commits in a row were refused, or a node wrote to a folder that is not shared.
        """
        pending = [item for item in staged if (item.outcomes or item.sources) and not self._landed & _files([item])]
        require_staged(self.uri, sorted(_files(pending)))
        staged_since = self._cleaning

        def plan(table: Table | None) -> Change:
            nonlocal pending, staged_since
            if last_cleaning(table) != staged_since:
                log.warning("table %s: `verify --clean` did not see this run; its rows are written anew", self.uri)
                require_staged(self.uri, sorted(_files(pending)))
                pending, staged_since = [self._staged_anew(item) for item in pending], last_cleaning(table)
            if table is None or not (pending and (self._overtaken or self._replacing)):
                return Change(pending)
            pending, gone = self._fit(pending, table)
            return Change([item for item in pending if item.outcomes], gone)

        return sum((Counter(item.outcomes) for item in self.apply(plan).staged), Counter())

    def apply(self, plan: Callable[[Table | None], Change]) -> Change:
        """Commits the change that `plan` returns for the newest snapshot. Calls it again if another run commits first.

        Returns:
            the change that was committed.

        Raises:
            TableError: `MAX_ATTEMPTS` commits in a row were refused.
        """
        broken = 0
        for _ in attempts(self.uri):
            try:
                change = plan(self.table)
            except OutdatedError:
                self.look_at(open_table(self.uri))
                continue
            if not change:
                return change
            change = replace(change, staged=[self._numbered(item) for item in change.staged])
            was_overtaken = self._overtaken
            with store_failures(self.uri):
                try:
                    landed = self._try(change)
                except OSError as error:
                    broken += 1
                    if not broke_connection(error) or broken == retries.TRIES:
                        raise
                    retries.pause(f"table {self.uri}", error, broken)
                    continue
            if landed:
                return change
            if not was_overtaken:
                log.warning("table %s: another run commits to it too; this run drops rows already there", self.uri)
            self._overtaken = True
        raise AssertionError("attempts() ends in an error")

    def merge_fragments(self, run_is_over: bool = False) -> None:
        """Merges small fragments once they hold as many rows as a full one. Merges all of them at the end of a run.

        Call it after each commit. From time to time, and at the end of a run, it also removes old versions.
        """
        if self.table is None:
            return
        self._commits += 1
        with store_failures(self.uri):
            self.look_at((compact.merge_small if run_is_over else compact.merge_if_many)(self.table))
            if run_is_over or self._commits % compact.COMMITS_BETWEEN_CLEANUPS == 0:
                compact.remove_old_versions(self.table)

    def look_at(self, table: Table) -> None:
        """Continues from a newer snapshot, which may contain commits of other runs."""
        self._overtaken |= self.table is None or rows_may_have_come_in(table, since=self.table.version)
        self.table = table

    def _try(self, change: Change) -> bool:
        transaction = self._transaction(change)
        try:
            dataset = transactions.send(self.uri, transaction)
        except OSError as error:
            # The commit may have succeeded before the error (the answer was lost). Only the table can say.
            found = open_if_exists(self.uri)
            if found is None:
                raise
            if has_landed(found, transaction.uuid, MAX_ATTEMPTS):
                self._landed, self.table = _files(change.staged), found
                this_run.current.committed(found.version, _by_status(change.staged))
                return True
            created_by_another = self.table is None
            refused = transactions.is_refusal(error) or created_by_another
            require_same(found, self._schema)
            self.look_at(found)
            if not refused:
                raise
            return False
        # a caller that is interrupted from here on may repeat the same commit
        self._landed = _files(change.staged)
        self.table = Table(self.uri, dataset)
        this_run.current.committed(self.table.version, _by_status(change.staged))
        return True

    def _transaction(self, change: Change) -> Any:
        fragments = [fragment for item in change.staged for fragment in item.fragments]
        if self.table is None:
            operation: Any = lance.LanceOperation.Overwrite(self._schema, fragments)
        elif self.table.lance.get_fragments():
            operation = swap(self.table, change.gone, fragments)
        else:
            operation = lance.LanceOperation.Merge(fragments, self.table.lance.lance_schema)
        notes = {**self._properties, **transactions.run_note(_by_status(change.staged))}
        return lance.Transaction(self.table.version if self.table else 0, operation, transaction_properties=notes)

    def _fit(self, pending: Sequence[Staged], table: Table) -> tuple[list[Staged], pa.Array]:
        """The staged rows to commit, and the addresses of the rows to delete.

        An item of which only some rows are committed is staged anew.
        """
        replaced = {path: self._replacing.sources[path] for item in pending for path in item.sources}
        rows = pa.concat_tables([self._compared(item, number) for number, item in enumerate(pending)])
        ours = rows.group_by([schema.SOURCE, schema.SOURCE_VERSION]).aggregate([])
        versions = dict(zip(ours[schema.SOURCE].to_pylist(), ours[schema.SOURCE_VERSION].to_pylist(), strict=True))
        found = fit(rows, versions | replaced, table, self._replacing)
        self.dropped += rows.num_rows - found.kept.num_rows
        positions = [_by_item(part, len(pending)) for part in (found.kept, found.forgotten)]
        left = []
        for item, kept, forgotten in zip(pending, *positions, strict=True):
            if len(forgotten) or len(kept) < item.rows:
                item = self._restaged(item, kept, forgotten)
            left.append(item)
        # An empty source has no rows to add. It stays pending, so that a retry still deletes its old rows.
        return [item for item in left if item.outcomes or item.sources], found.gone

    def _compared(self, staged: Staged, item: int) -> pa.Table:
        read = [self._read_staged(fragment, COMPARED) for fragment in staged.fragments]
        rows = pa.concat_tables([_part(self._schema, COMPARED).empty_table(), *read])
        rows = rows.append_column(ITEM, pa.array([item] * rows.num_rows, pa.int64()))
        return rows.append_column(POSITION, pa.array(range(rows.num_rows), pa.int64()))

    def _numbered(self, staged: Staged) -> Staged:
        """The same rows in files that number their columns as the table does now.

        Lance finds a column in a file by its number. Where another program rewrote the table's columns after the file
        was staged, the numbers stand for other columns, so the rows are staged anew.
        """
        numbers = None if self.table is None else _leaf_numbers(self.table, self._schema.names)
        if numbers is None or all(fragment.files[0].fields == numbers for fragment in staged.fragments):
            return staged
        log.warning("table %s: another program rewrote its columns; staged rows are written anew", self.uri)
        return self._staged_anew(staged)

    def _staged_anew(self, staged: Staged) -> Staged:
        """The same rows in new files."""
        if not staged.fragments:
            return staged
        rows = pa.concat_tables([self._read_staged(fragment, self._schema.names) for fragment in staged.fragments])
        # A caller that was interrupted during the commit repeats it with the old files: then the rows are looked up.
        self._overtaken = True
        return replace(staged, fragments=stage(self.uri, rows).fragments)

    def _restaged(self, staged: Staged, kept: _Positions, forgotten: _Positions) -> Staged:
        if not len(kept):
            return Staged(())
        names = self._schema.names
        rows = pa.concat_tables([self._read_staged(fragment, names) for fragment in staged.fragments])
        living = rows.take(pa.array(np.setdiff1d(kept, forgotten, assume_unique=True)))
        dead = tombstones(rows.take(pa.array(forgotten)), self._schema)
        return stage(self.uri, pa.concat_tables([living, dead]))

    def _read_staged(self, fragment: FragmentMetadata, columns: Sequence[str]) -> pa.Table:
        (file,) = fragment.files
        place = f"{self.uri.dataset}/data/{file.path}"
        with store_failures(self.uri):
            reader = LanceFileReader(place, storage_options=self.uri.storage_options, columns=list(columns))
            rows = reader.read_all().to_table()
        return rows.select(columns).cast(_part(self._schema, columns))


def _by_status(staged: Sequence[Staged]) -> Counter[str]:
    counts = Counter[str]()
    for item in staged:
        for (status, _), rows in item.outcomes.items():
            counts[status] += rows
    return counts


def _files(staged: Sequence[Staged]) -> frozenset[str]:
    return frozenset(file.path for item in staged for fragment in item.fragments for file in fragment.files)


def _leaf_numbers(table: Table, columns: Sequence[str]) -> list[int]:
    """The numbers that the table gives these columns, in their order: of a list or struct, those of what is within."""
    fields = {field.name(): field for field in table.lance.lance_schema.fields()}
    return [number for name in columns for number in _leaves(fields[name])]


def _leaves(field: Any) -> list[int]:
    within = [number for child in field.children() for number in _leaves(child)]
    return within or [field.id()]


def _part(full: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([full.field(name) for name in columns], metadata=full.metadata)


def _by_item(rows: pa.Table, items: int) -> list[_Positions]:
    """The positions in each item, sorted. One sort for all items: a filter per item would scan all rows each time."""
    numbers, positions = (rows[name].to_numpy() for name in (ITEM, POSITION))
    order = np.lexsort((positions, numbers))
    starts = np.searchsorted(numbers[order], np.arange(1, items))
    return [np.unique(part) for part in np.split(positions[order], starts)]
