"""Exactly-once commits: tasks stage fragment files, and one committer makes them part of the table.

A staged fragment is garbage until its commit, and a commit is atomic, so a killed run leaves whole commits only. Two
committers must not both land the same rows, and Lance's Append would let them: it rebases on whatever has come in
between. So every commit here is a compare-and-swap on the version that the committer has last looked at:

- the first is an Overwrite of version 0 without retries: refused if anybody else has created the table;
- a later one is an Update that lists the table's first fragment, unchanged, as updated: refused if anybody else has
  committed such an Update since. Commits that touch no data (tags, configuration) do not get in the way;
- on a table whose every row was deleted it is a Merge, which any other commit of data refuses.

On a refusal the committer looks at the new state, drops the rows that are committed by now, and tries again. A run that
replaces rows (`pipeline.table.replacing`) does so in the same commits: the old ones go as the new ones come.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata, write_fragments

from pipeline import schema
from pipeline.errors import TableError
from pipeline.storage import retries
from pipeline.storage.lance_store import broke_connection
from pipeline.table import compact, transactions
from pipeline.table.history import has_landed, rows_may_have_come_in
from pipeline.table.object_store import store_failures
from pipeline.table.replacing import COMPARED, ITEM, POSITION, Replacing, fit
from pipeline.table.store import Table, open_if_exists, require_same
from pipeline.table.swap import swap
from pipeline.table.tombstones import tombstones
from pipeline.table.transactions import MAX_ATTEMPTS, attempts
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

_Positions = npt.NDArray[np.int64]
"""of rows in what was staged together"""


@dataclass(frozen=True)
class Staged:
    """Rows written to fragment files, not yet part of the table."""

    fragments: tuple[FragmentMetadata, ...]
    outcomes: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    """rows by (status, reason)"""
    retries: Mapping[str, int] = field(default_factory=dict)
    """how often the store was asked again while these rows were read, by cause"""
    sources: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    """of rows that replace others: how many there are of each source, and how many it holds, where that is known"""

    @property
    def rows(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True)
class Change:
    """What one commit does."""

    staged: Sequence[Staged]
    """comes in"""
    gone: pa.Array = field(default_factory=lambda: pa.array([], pa.uint64()))
    """uint64, addresses of the rows that go"""

    def __bool__(self) -> bool:
        return bool(self.staged) or len(self.gone) > 0


def stage(uri: TableUri, rows: pa.Table, by_source: bool = False) -> Staged:
    """Writes rows, which must have the table's own schema, to fragment files in the table's folder.

    `by_source`: say how many rows there are of each source.
    """
    with store_failures(uri):
        fragments = write_fragments(rows, uri.dataset, schema=rows.schema, storage_options=uri.storage_options)
    counted = rows.group_by([schema.STATUS, schema.REASON]).aggregate([([], "count_all")]).to_pylist()
    outcomes = {(row[schema.STATUS], row[schema.REASON]): row["count_all"] for row in counted}
    return Staged(tuple(fragments), outcomes, sources=_count_sources(rows) if by_source else {})


def _count_sources(rows: pa.Table) -> dict[str, tuple[int, int | None]]:
    counted = rows.group_by(schema.SOURCE).aggregate([([], "count_all"), (schema.SOURCE_ROWS, "max")])
    return {row[schema.SOURCE]: (row["count_all"], row[f"{schema.SOURCE_ROWS}_max"]) for row in counted.to_pylist()}


class Committer:
    """The only writer of rows in a run. `table` is the state it has last looked at, None before there is one.

    `settings` is what the run was asked to do, as JSON without secrets: each commit carries it.
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
        # Once another run's commit has been met, the state looked at holds rows that this run was not planned around:
        # from then on every staged row is looked up, not only those of the refused commit.
        self._overtaken = False
        self._commits = 0
        self._landed = frozenset[str]()
        """files of the last commit"""
        self.dropped = 0
        """staged rows that were not committed, since another run had committed them, or has another version of them"""

    def commit(self, staged: Sequence[Staged]) -> Counter[tuple[str, str | None]]:
        """Makes staged rows part of the table, in one atomic commit, less those that another run has committed.

        Rows that they replace go in the same commit. Who was interrupted in the midst of a commit may ask for it again.

        Returns:
            rows by (status, reason) that this commit brought in.

        Raises:
            TableError: `MAX_ATTEMPTS` commits in a row were refused; or a node wrote into a folder of its own.
        """
        pending = [item for item in staged if (item.outcomes or item.sources) and not self._landed & _files([item])]
        for item in pending:
            for fragment in item.fragments[:1]:
                require_visible(self.uri, fragment.files[0].path)

        def fitting(table: Table | None) -> Change:
            nonlocal pending
            if table is None or not (pending and (self._overtaken or self._replacing)):
                return Change(pending)
            pending, gone = self._fitting(pending, table)
            return Change([item for item in pending if item.outcomes], gone)

        return sum((Counter(item.outcomes) for item in self.apply(fitting).staged), Counter())

    def apply(self, plan: Callable[[Table | None], Change]) -> Change:
        """Commits the change that `plan` gives for the newest state; asks it anew where another run was quicker.

        Returns:
            the change that was made.

        Raises:
            TableError: `MAX_ATTEMPTS` commits in a row were refused.
        """
        broken = 0
        for _ in attempts(self.uri):
            change = plan(self.table)
            if not change:
                return change
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
                log.warning("table %s: another run commits to it too; rows that it has done are dropped here", self.uri)
            self._overtaken = True
        raise AssertionError("attempts() ends in an error")

    def merge_fragments(self, run_is_over: bool = False) -> None:
        """Merges small fragments: once they hold as many rows as a full one, or all of them at the end of a run.

        To be called after each commit; old versions are removed then too, now and again and at the end.
        """
        if self.table is None:
            return
        self._commits += 1
        with store_failures(self.uri):
            self.look_at((compact.merge_small if run_is_over else compact.merge_if_many)(self.table))
            if run_is_over or self._commits % compact.COMMITS_BETWEEN_CLEANUPS == 0:
                compact.remove_old_versions(self.table)

    def look_at(self, table: Table) -> None:
        """Goes on from a newer state, in which there may be what other runs have committed."""
        self._overtaken |= self.table is None or rows_may_have_come_in(table, since=self.table.version)
        self.table = table

    def _try(self, change: Change) -> bool:
        transaction = self._transaction(change)
        try:
            dataset = transactions.send(self.uri, transaction)
        except OSError as error:
            # An error may come after the commit has landed (a lost answer): only the table knows.
            found = open_if_exists(self.uri)
            if found is None:
                raise
            if has_landed(found, transaction.uuid, MAX_ATTEMPTS):
                self._landed, self.table = _files(change.staged), found
                return True
            created_by_another = self.table is None
            refused = transactions.is_refusal(error) or created_by_another
            if refused:
                self._require_same(found, created_by_another)
            self.look_at(found)
            if not refused:
                raise
            return False
        # whoever is interrupted from here on may ask for the same commit again
        self._landed = _files(change.staged)
        self.table = Table(self.uri, dataset)
        return True

    def _require_same(self, table: Table, created_by_another: bool) -> None:
        """Refuses a table into which what is staged must not come, before it becomes the one that is committed to."""
        require_same(table, self._schema)
        if created_by_another and table.schema.names != self._schema.names:
            # What is staged numbers its columns as a table of ours would have; theirs numbers them otherwise.
            raise TableError(
                f"table {self.uri}: another run has made it meanwhile, with other columns; run the same command again"
            )

    def _transaction(self, change: Change) -> Any:
        fragments = [fragment for item in change.staged for fragment in item.fragments]
        if self.table is None:
            operation: Any = lance.LanceOperation.Overwrite(self._schema, fragments)
            return lance.Transaction(0, operation, transaction_properties=self._properties)
        if self.table.lance.get_fragments():
            operation = swap(self.table, change.gone, fragments)
        else:
            operation = lance.LanceOperation.Merge(fragments, self.table.lance.lance_schema)
        return lance.Transaction(self.table.version, operation, transaction_properties=self._properties)

    def _fitting(self, pending: Sequence[Staged], table: Table) -> tuple[list[Staged], pa.Array]:
        """What of staged rows lands, and which rows go; those of which only a part lands are written anew."""
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
        # a source that has become empty has no rows, and is still to go after a refusal
        return [item for item in left if item.outcomes or item.sources], found.gone

    def _compared(self, staged: Staged, item: int) -> pa.Table:
        read = [self._read_staged(fragment, COMPARED) for fragment in staged.fragments]
        rows = pa.concat_tables([_part(self._schema, COMPARED).empty_table(), *read])
        rows = rows.append_column(ITEM, pa.array([item] * rows.num_rows, pa.int64()))
        return rows.append_column(POSITION, pa.array(range(rows.num_rows), pa.int64()))

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


def _files(staged: Sequence[Staged]) -> frozenset[str]:
    return frozenset(file.path for item in staged for fragment in item.fragments for file in fragment.files)


def _part(whole: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([whole.field(name) for name in columns], metadata=whole.metadata)


def _by_item(rows: pa.Table, items: int) -> list[_Positions]:
    """The positions in each item, sorted. (In one go: a filter for each item would go through all rows every time.)"""
    numbers, positions = (rows[name].to_numpy() for name in (ITEM, POSITION))
    order = np.lexsort((positions, numbers))
    starts = np.searchsorted(numbers[order], np.arange(1, items))
    return [np.unique(part) for part in np.split(positions[order], starts)]


def require_visible(uri: TableUri, name: str) -> None:
    """A local folder must be the same one on every node, or the commit would name files that are elsewhere.

    Raises:
        TableError: the fragment file of that name, staged by another process, is not there.
    """
    if "://" not in uri.database and not Path(uri.dataset, "data", name).exists():
        raise TableError(
            f"table {uri}: a node of the cluster wrote {name} to a folder that is not this one; "
            "put the table on a path that all nodes share, or on an object store"
        )
