"""Computes new columns for the rows of one fragment. Any process may compute; one process commits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from lance.fragment import FragmentMetadata

from pipeline.errors import TableError
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.table.clean import last_cleaning
from pipeline.table.column_file import FragmentUpdate, write_columns
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.uri import TableUri

Compute = Callable[[pa.RecordBatch], dict[str, pa.Array]]


@dataclass(frozen=True)
class Filled:
    """New columns of a fragment, written to a file that is not yet part of the table."""

    base: FragmentMetadata
    """the fragment that they were computed from; they are invalid once it changes"""
    rows: int = 0
    update: FragmentUpdate | None = None
    """None if there is no row to fill"""
    cleaning: str | None = None
    """the last cleaning before they were written; they may be gone after a later one (`pipeline.table.clean`)"""

    @property
    def fragment_id(self) -> int:
        return int(self.base.id)

    @property
    def staged_file(self) -> str:
        """Name of the staged file."""
        assert self.update is not None
        metadata, _ = self.update
        return str(metadata.files[-1].path)


@dataclass(frozen=True)
class Fill:
    """Fills the fragment of a given number, in any process. Returns None if the table has no such fragment."""

    uri: TableUri
    read: Sequence[str]
    where: str
    compute: Compute

    def __call__(self, number: int) -> Filled | None:
        table = open_table(self.uri)
        fragment = table.lance.get_fragment(number)
        if fragment is None:
            return None
        try:
            with store_failures(self.uri):
                return self._filled(table, fragment)
        except TableError:
            if table.is_outdated():  # another program merged the fragment meanwhile, and removed its files
                return None
            raise

    def _filled(self, table: Table, fragment: Any) -> Filled:
        batches = fragment.to_batches(columns=list(self.read), filter=self.where, with_row_address=True)
        filled = [pa.table({ROW_ADDRESS: batch[ROW_ADDRESS], **self.compute(batch)}) for batch in batches if len(batch)]
        if not filled:
            return Filled(fragment.metadata)
        values = pa.concat_tables(filled)
        update = write_columns(table, fragment, values)
        return Filled(fragment.metadata, values.num_rows, update, last_cleaning(table))


RunFill = Callable[[Fill, Sequence[int]], Generator[Filled | None, None, None]]
"""fills fragments, and yields the staged columns in any order"""


def one_by_one(fill: Fill, fragments: Sequence[int]) -> Generator[Filled | None, None, None]:
    """Fills fragments in this process, one after another."""
    for number in fragments:
        yield fill(number)
