"""Exactly-once commits: tasks stage fragment files, and one committer makes them part of the table.

A staged fragment is garbage until its commit, and a commit is atomic, so a killed run leaves whole commits only. Two
committers must not both land the same rows, and Lance's Append would let them: it rebases on whatever has come in
between. So every commit here is a compare-and-swap on the version that the committer has last looked at:

- the first is an Overwrite of version 0 without retries: refused if anybody else has created the table;
- a later one is an Update that lists the table's first fragment, unchanged, as updated: refused if anybody else has
  committed such an Update since. Commits that touch no data (tags, configuration) do not get in the way;
- on a table whose every row was deleted it is a Merge, which any other commit of data refuses.

On a refusal the committer looks at the new state, drops the rows that are committed by now, and tries again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.compute as pc
from lance.commit import CommitConflictError
from lance.file import LanceFileReader
from lance.fragment import FragmentMetadata, write_fragments

from pipeline import schema
from pipeline.errors import TableError
from pipeline.table import compact
from pipeline.table.ledger import rows_of_sources
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_if_exists, require_same
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20

_LEDGER_KEY = [schema.SOURCE, schema.SOURCE_ROW]


@dataclass(frozen=True)
class Staged:
    """Rows written to fragment files, not yet part of the table."""

    fragments: tuple[FragmentMetadata, ...]
    outcomes: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    """rows by (status, reason)"""
    retries: Mapping[str, int] = field(default_factory=dict)
    """how often the store was asked again while these rows were read, by cause"""


def stage(uri: TableUri, rows: pa.Table) -> Staged:
    """Writes rows, which must have the table's own schema, to fragment files in the table's folder."""
    with store_failures(uri):
        fragments = write_fragments(rows, uri.dataset, schema=rows.schema, storage_options=uri.storage_options)
    counted = rows.group_by([schema.STATUS, schema.REASON]).aggregate([([], "count_all")]).to_pylist()
    outcomes = {(row[schema.STATUS], row[schema.REASON]): row["count_all"] for row in counted}
    return Staged(tuple(fragments), outcomes)


class Committer:
    """The only writer of rows in a run. `table` is the state it has last looked at, None before there is one."""

    def __init__(self, uri: TableUri, table_schema: pa.Schema, table: Table | None) -> None:
        self.uri = uri
        self.table = table
        self._schema = table_schema
        # Once another run's commit has been met, the state looked at holds rows that this run was not planned around:
        # from then on every staged row is looked up, not only those of the refused commit.
        self._overtaken = False

    def commit(self, staged: Sequence[Staged]) -> Counter[tuple[str, str | None]]:
        """Makes staged rows part of the table, in one atomic commit, less those that another run has committed.

        Returns:
            rows by (status, reason) that this commit brought in.

        Raises:
            TableError: other writers were quicker, `MAX_ATTEMPTS` times; or a node wrote into a folder of its own.
        """
        pending = [item for item in staged if item.outcomes]
        _require_visible(self.uri, pending)
        for _ in range(MAX_ATTEMPTS):
            if self._overtaken:
                pending = [left for item in pending if (left := self._without_committed(item)).outcomes]
            if not pending:
                return Counter()
            with store_failures(self.uri):
                landed = self._try(pending)
            if landed:
                return sum((Counter(item.outcomes) for item in pending), Counter())
            if not self._overtaken:
                log.warning("table %s: another run commits to it too; rows that it has done are dropped here", self.uri)
            self._overtaken = True
        raise TableError(
            f"table {self.uri}: {MAX_ATTEMPTS} commits in a row were refused because other runs were quicker; "
            "run the same command again when they are done"
        )

    def merge_fragments(self, run_is_over: bool = False) -> None:
        """Merges small fragments: once they hold as many rows as a full one, or all of them at the end of a run."""
        if self.table is not None:
            with store_failures(self.uri):
                self.table = (compact.merge_small if run_is_over else compact.merge_if_many)(self.table)

    def _try(self, pending: Sequence[Staged]) -> bool:
        fragments = [fragment for item in pending for fragment in item.fragments]
        transaction = self._transaction(fragments)
        try:
            dataset = lance.LanceDataset.commit(
                self.uri.dataset, transaction, max_retries=0, storage_options=self.uri.storage_options
            )
        except (CommitConflictError, OSError) as error:
            # An error may come after the commit has landed (a lost answer): only the table knows.
            before = self.table
            self.table = open_if_exists(self.uri)
            if self.table is None:
                raise
            if _has_landed(self.table, transaction.uuid):
                return True
            created_by_another = before is None
            if not isinstance(error, CommitConflictError) and not created_by_another:
                raise
            require_same(self.table, self._schema)
            if created_by_another and self.table.schema.names != self._schema.names:
                # What is staged numbers its columns as a table of ours would have; theirs numbers them otherwise.
                raise TableError(
                    f"table {self.uri}: another run has made it meanwhile, with other columns; "
                    "run the same command again"
                ) from error
            return False
        self.table = Table(self.uri, dataset)
        return True

    def _transaction(self, fragments: list[FragmentMetadata]) -> Any:
        if self.table is None:
            operation: Any = lance.LanceOperation.Overwrite(self._schema, fragments)
            return lance.Transaction(0, operation)
        present = self.table.dataset.get_fragments()
        if present:
            operation = lance.LanceOperation.Update(updated_fragments=[present[0].metadata], new_fragments=fragments)
        else:
            operation = lance.LanceOperation.Merge(fragments, self.table.dataset.lance_schema)
        return lance.Transaction(self.table.version, operation)

    def _without_committed(self, staged: Staged) -> Staged:
        """The same staged rows less those in the table by now; written anew only where a part is left."""
        assert self.table is not None
        rows = pa.concat_tables([self._read_staged(fragment) for fragment in staged.fragments])
        sources = pc.unique(rows[schema.SOURCE]).to_pylist()
        committed = rows_of_sources(self.table, sources)
        new = rows.append_column("position", pa.array(range(rows.num_rows))).select([*_LEDGER_KEY, "position"])
        new = new.join(committed, keys=_LEDGER_KEY, join_type="left anti").sort_by("position")
        if new.num_rows == rows.num_rows:
            return staged
        return stage(self.uri, rows.take(new["position"])) if new.num_rows else Staged(())

    def _read_staged(self, fragment: FragmentMetadata) -> pa.Table:
        files = [
            LanceFileReader(f"{self.uri.dataset}/data/{file.path}", storage_options=self.uri.storage_options)
            for file in fragment.files
        ]
        table = files[0].read_all().to_table()
        assert len(files) == 1, "a staged fragment is one file"
        return table.select(self._schema.names).cast(self._schema)


def _require_visible(uri: TableUri, staged: Sequence[Staged]) -> None:
    """A local folder must be the same one on every node, or the commit would name files that are elsewhere."""
    if "://" in uri.database:
        return
    for item in staged:
        file = Path(uri.dataset, "data", item.fragments[0].files[0].path)
        if not file.exists():
            raise TableError(
                f"table {uri}: a node of the cluster wrote {file.name} to a folder that is not this one; "
                "put the table on a path that all nodes share, or on an object store"
            )


def _has_landed(table: Table, uuid: str) -> bool:
    return any(
        transaction is not None and transaction.uuid == uuid
        for transaction in table.dataset.get_transactions(MAX_ATTEMPTS)
    )
