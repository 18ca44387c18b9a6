"""Opening a table and reading it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.errors import IdentityError, TableError
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.schema import Identity
from pipeline.table.object_store import read_failure
from pipeline.table.uri import TableUri

EMBEDDED = f"{schema.STATUS} = '{schema.SUCCESS}'"
"""Reads leave out what was rejected, unless they ask for it."""

ROWS_PER_BATCH = 65_536
"""of a scan of few columns without vectors: large batches are read faster"""
READ_AHEAD_BYTES = 64 << 20
DECODED_AT_ONCE = min(max(4, os.cpu_count() or 1), 16)
"""batches: left to itself, Lance decodes one after another on a machine of two cores"""

_SHARED = "siglane:shared"
"""in the metadata of a name of a state: more than one has asked for it"""


class Table:
    """One snapshot of a table, for reading."""

    def __init__(self, uri: TableUri, dataset: Any) -> None:
        self.uri = uri
        self.lance = dataset
        """Lance's own dataset, for this package alone"""
        self.identity = _identity(uri, dataset.schema)

    @property
    def schema(self) -> pa.Schema:
        return self.lance.schema

    @property
    def version(self) -> int:
        return int(self.lance.version)

    @property
    def fragments(self) -> int:
        """How many fragments its rows lie in."""
        return len(self.lance.get_fragments())

    @property
    def dimension(self) -> int:
        return self.identity.dimension

    def count(self, where: str | None = None) -> int:
        """How many rows meet `where`; raises TableError where the table cannot be read."""
        try:
            return int(self.lance.count_rows(filter=where))
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, "cannot count rows" + (f" where {where}" if where else ""), error) from error

    def any(self, where: str) -> bool:
        """Whether a row meets `where`; raises TableError where the table cannot be read."""
        try:
            first = self.lance.scanner(
                columns=[schema.UID],
                filter=where,
                limit=1,
                io_buffer_size=READ_AHEAD_BYTES,
                fragment_readahead=1,
                batch_readahead=2,
            )
            return bool(first.to_table().num_rows)
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, f"cannot read rows where {where}", error) from error

    def scan(
        self,
        columns: Sequence[str],
        where: str | None = EMBEDDED,
        addresses: bool = False,
        rows_per_batch: int | None = None,
        sparing: bool = False,
        whole: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that meet `where`, in the order they lie; with `addresses`, the column `_rowaddr` too.

        `rows_per_batch`: at most; see `ROWS_PER_BATCH`.
        `whole`: reads every row's columns, where more than a few rows meet `where`; else first what `where` is about.
        `sparing`: reads little ahead, so that all vectors of a table can be gone through in a bounded memory.

        Raises:
            TableError: `where` is not SQL over this table's columns.
        """
        try:
            scanner = self.lance.scanner(
                columns=list(columns),
                filter=where,
                with_row_address=addresses,
                batch_size=rows_per_batch,
                io_buffer_size=READ_AHEAD_BYTES if sparing else None,
                fragment_readahead=1 if sparing else None,
                batch_readahead=2 if sparing else DECODED_AT_ONCE,
                late_materialization=False if whole else None,
            )
            yield from scanner.to_batches()
        except (ValueError, OSError) as error:
            what = f"cannot read rows where {where}" if where else "cannot read its rows"
            raise read_failure(self.uri, what, error) from error

    def take(self, positions: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The rows at these positions of a scan of all rows, in the order of the positions."""
        return self.lance.take(list(positions), columns=list(columns))

    def positions(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Where in a scan of all rows these come, by the column `_rowaddr` of a scan of this state: for `take`."""
        batches = self.scan([], None, addresses=True)
        everywhere = np.concatenate([batch[ROW_ADDRESS].to_numpy() for batch in batches] or [np.empty(0, np.uint64)])
        order = np.argsort(everywhere)
        return order[np.searchsorted(everywhere, addresses, sorter=order)]

    def has_tag(self, name: str) -> bool:
        """Whether a state of the table has this name."""
        try:
            return name in self.lance.tags.list()
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, "the names of its states cannot be read", error) from error

    def tag(self, name: str) -> None:
        """Names this state, so that a cleanup keeps it; a name that it has already is noted to serve several.

        Raises:
            TableError: another state has the name, or the table cannot be written to.
        """
        try:
            named = self.lance.tags.list().get(name)
            if named is None:
                self.lance.tags.create(name, self.version)
            elif named["version"] == self.version and _SHARED not in named["metadata"]:
                self.lance.tags.replace_metadata(name, {**named["metadata"], _SHARED: "true"})
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, f"cannot name its state {self.version} {name!r}", error) from error
        if named is not None and named["version"] != self.version:
            raise TableError(f"table {self.uri}: the name {name!r} stands for its state {named['version']} already")

    def untag(self, name: str, version: int) -> None:
        """Takes the name from the state of that version, if it has it and it serves nobody else.

        Raises:
            TableError: the table cannot be written to.
        """
        try:
            named = self.lance.tags.list().get(name)
            if named is not None and named["version"] == version and _SHARED not in named["metadata"]:
                self.lance.tags.delete(name)
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, f"cannot take the name {name!r} from its state {version}", error) from error

    def nearest(
        self, vector_column: str, query: Any, k: int, columns: Sequence[str], where: str | None = None
    ) -> pa.Table:
        """The k rows of largest dot product with `query` (float32 [D]), by exact search over all vectors."""
        condition = f"{EMBEDDED} AND ({where})" if where else EMBEDDED
        search = {"column": vector_column, "q": query, "k": k, "metric": "dot", "use_index": False}
        try:
            return self.lance.to_table(columns=list(columns), filter=condition, nearest=search, prefilter=True)
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, f"cannot search where {where}", error) from error


def exists(uri: TableUri) -> bool:
    return _open(uri) is not None


def open_table(uri: TableUri) -> Table:
    """Opens a table at its newest state, or the one its address names.

    Raises:
        TableError: there is none, or it is not one of ours.
    """
    dataset = _open(uri)
    if dataset is None:
        raise TableError(f"table {uri}: there is none at {uri.dataset}; `siglane embed --table {uri}` makes one")
    return Table(uri, dataset)


def open_if_exists(uri: TableUri) -> Table | None:
    dataset = _open(uri)
    return None if dataset is None else Table(uri, dataset)


def require_same(table: Table, wanted: pa.Schema) -> None:
    """Refuses to write rows of the schema `wanted`, its identity included, into a table that was made otherwise.

    Columns that the table has beside (scores, flags of later jobs) are no difference: new rows hold null there.

    Raises:
        IdentityError: another model, preprocessing, tokenizer, precision or dimension.
        TableError: another vector type, or other columns kept from the source.
    """
    identity = _identity(table.uri, wanted)
    for name, theirs, ours in table.identity.differences(identity):
        raise IdentityError(
            f"table {table.uri} was made with {name} {theirs} (model {table.identity.model}), this run has "
            f"{name} {ours} (model {identity.model}); use the model and options that made it, or another --table"
        )
    for column in wanted:
        theirs = table.schema.field(column.name).type if column.name in table.schema.names else "no such column"
        if theirs != column.type:
            raise TableError(
                f"table {table.uri}: column {column.name!r} is {theirs} there and {column.type} in this run; "
                "use the --vector-dtype and --keep-cols that made it, or another --table"
            )


def _open(uri: TableUri) -> Any:
    try:
        dataset = lance.dataset(uri.dataset, storage_options=uri.storage_options)
    except (ValueError, OSError) as error:
        # Lance has no error class of its own for an absent dataset.
        if "was not found" in str(error):
            return None
        raise read_failure(uri, "cannot be opened", error) from error
    if uri.state is None:
        return dataset
    try:
        return dataset.checkout_version(uri.state)
    except (ValueError, OSError) as error:
        raise read_failure(uri, f"has no state {uri.state!r}", error) from error


def _identity(uri: TableUri, table_schema: pa.Schema) -> Identity:
    metadata = {key.decode(): value.decode() for key, value in (table_schema.metadata or {}).items()}
    if schema.IDENTITY_KEY not in metadata:
        raise TableError(
            f"table {uri}: not made by siglane (no {schema.IDENTITY_KEY} in its schema); choose another name"
        )
    version = int(metadata[schema.VERSION_KEY])
    if version != schema.SCHEMA_VERSION:
        raise TableError(
            f"table {uri}: its schema has version {version}, this siglane reads version {schema.SCHEMA_VERSION}; "
            "use the siglane that made it"
        )
    return Identity.from_json(metadata[schema.IDENTITY_KEY])
