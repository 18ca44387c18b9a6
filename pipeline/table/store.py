"""Opens and reads a table."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.errors import IdentityError, OutdatedError, SiglaneError, TableError
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.schema import Identity
from pipeline.storage.lance_store import names_missing_file
from pipeline.table.object_store import read_failure
from pipeline.table.uri import TableUri
from siglip_core.variants import decoding_of

EMBEDDED = f"{schema.STATUS} = '{schema.SUCCESS}'"
"""Reads skip rejected and removed rows, unless they ask for them."""

ROWS_PER_BATCH = 65_536
"""for a scan of a few columns without vectors: large batches are faster"""
READ_AHEAD_BYTES = 64 << 20
DECODED_AT_ONCE = min(max(4, os.cpu_count() or 1), 16)
"""batches; by default, Lance decodes them one after another on a machine with two cores"""

SHARED = "siglane:shared"
"""in the metadata of a tag: more than one run uses the tag"""
MADE_BY = "siglane:made-by"
"""in the metadata of a tag: what made or used it, a JSON list of records of strings"""


class Table:
    """One snapshot of a table, for reading."""

    def __init__(self, uri: TableUri, dataset: Any) -> None:
        self.uri = uri
        self.lance = dataset
        """Lance's dataset; only this package may use it"""
        self.identity = _identity(uri, dataset.schema)

    @property
    def schema(self) -> pa.Schema:
        return self.lance.schema

    @property
    def version(self) -> int:
        return int(self.lance.version)

    @property
    def fragments(self) -> int:
        """Number of fragments."""
        return len(self.lance.get_fragments())

    @property
    def dimension(self) -> int:
        return self.identity.dimension

    def count(self, where: str | None = None) -> int:
        """How many rows meet `where`. Raises TableError if the table cannot be read."""
        try:
            return int(self.lance.count_rows(filter=where))
        except (ValueError, OSError) as error:
            raise self.read_failure("cannot count rows" + (f" where {where}" if where else ""), error) from error

    def any(self, where: str) -> bool:
        """Whether any row meets `where`. Raises TableError if the table cannot be read."""
        return self.first([schema.UID], where) is not None

    def first(self, columns: Sequence[str], where: str) -> dict[str, Any] | None:
        """These columns of the first row that meets `where`. Raises TableError if the table cannot be read."""
        try:
            found = self.lance.scanner(
                columns=list(columns),
                filter=where,
                limit=1,
                io_buffer_size=READ_AHEAD_BYTES,
                fragment_readahead=1,
                batch_readahead=2,
            )
            rows: list[dict[str, Any]] = found.to_table().to_pylist()
            return rows[0] if rows else None
        except (ValueError, OSError) as error:
            raise self.read_failure(f"cannot read rows where {where}", error) from error

    def scan(
        self,
        columns: Sequence[str],
        where: str | None = EMBEDDED,
        addresses: bool = False,
        rows_per_batch: int | None = None,
        sparing: bool = False,
        whole: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """The rows that meet `where`, in storage order.

        `addresses`: also give the column `_rowaddr`.
        `rows_per_batch`: the most rows in a batch; see `ROWS_PER_BATCH`.
        `sparing`: read little ahead, so that a scan of all vectors needs bounded memory.
        `whole`: read all columns of every row at once: faster if many rows meet `where`. Otherwise the columns of
        `where` are read first, and the others only for the rows that meet it.

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
            raise self.read_failure(what, error) from error

    def take(self, positions: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The rows at these positions of a scan of all rows, in the order of the positions."""
        return self.lance.take(list(positions), columns=list(columns))

    def positions(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Positions, for `take`, of rows in a scan of all rows. `addresses`: their `_rowaddr` in this snapshot."""
        batches = self.scan([], None, addresses=True)
        everywhere = np.concatenate([batch[ROW_ADDRESS].to_numpy() for batch in batches] or [np.empty(0, np.uint64)])
        order = np.argsort(everywhere)
        return order[np.searchsorted(everywhere, addresses, sorter=order)]

    def has_tag(self, name: str) -> bool:
        """Whether a version of the table has this tag."""
        try:
            return name in self.lance.tags.list()
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, "its tags cannot be read", error) from error

    def tag(self, name: str, made_by: Mapping[str, str] | None = None) -> None:
        """Tags this version, so that a cleanup keeps it. If it already has the tag, marks the tag as shared.

        Args:
            made_by: a record of what needs the tag, for `siglane tags`.

        Raises:
            TableError: another version has the tag, or the table cannot be written.
        """
        try:
            named = self.lance.tags.list().get(name)
            if named is None:
                self.lance.tags.create(name, self.version)
            if named is None or named["version"] == self.version:
                self.lance.tags.replace_metadata(name, _tag_metadata(named, made_by))
        except (ValueError, OSError) as error:
            failed = read_failure(self.uri, f"cannot tag its version {self.version} as {name!r}", error)
            raise type(failed)(f"{failed}; --no-tag filters without a tag, as a read-only table needs") from error
        if named is not None and named["version"] != self.version:
            raise TableError(
                f"table {self.uri}: the tag {name!r} already names version {named['version']}; choose another name"
            )

    def untag(self, name: str, version: int) -> None:
        """Removes the tag from that version, if the version has it and no other run uses it.

        Raises:
            TableError: the table cannot be written.
        """
        try:
            named = self.lance.tags.list().get(name)
            if named is not None and named["version"] == version and SHARED not in named["metadata"]:
                self.lance.tags.delete(name)
        except (ValueError, OSError) as error:
            raise read_failure(self.uri, f"cannot remove the tag {name!r} from version {version}", error) from error

    def is_outdated(self) -> bool:
        """Whether the newest version lacks a fragment of this one as it is, so that files of this one may be gone."""
        newest = {fragment.fragment_id: fragment.metadata for fragment in open_table(self.uri).lance.get_fragments()}
        return any(newest.get(fragment.fragment_id) != fragment.metadata for fragment in self.lance.get_fragments())

    def read_failure(self, what: str, error: Exception) -> SiglaneError:
        """As `read_failure`; an `OutdatedError` where a file is missing that the newest version may not need."""
        if names_missing_file(error) and self.is_outdated():
            return OutdatedError(
                f"table {self.uri}: another program removed files of version {self.version} while it was read; run the "
                "same command again"
            )
        return read_failure(self.uri, what, error)


def _tag_metadata(named: Any, made_by: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata of a tag that one more run uses. `named`: the tag before, None if there was none."""
    metadata: dict[str, str] = {} if named is None else {**named["metadata"], SHARED: "true"}
    if made_by is not None:
        metadata[MADE_BY] = json.dumps([*json.loads(metadata.get(MADE_BY, "[]")), dict(made_by)])
    return metadata


def exists(uri: TableUri) -> bool:
    return _open(uri) is not None


def open_table(uri: TableUri) -> Table:
    """Opens a table at its newest version, or at the version in its address.

    Raises:
        TableError: there is no such table or version, or siglane did not create it.
    """
    dataset = _open(uri)
    if dataset is None:
        raise TableError(f"table {uri}: no table at {uri.dataset}; {uri.command('embed')} creates one")
    return Table(uri, dataset)


def open_if_exists(uri: TableUri) -> Table | None:
    dataset = _open(uri)
    return None if dataset is None else Table(uri, dataset)


def require_same(table: Table, wanted: pa.Schema) -> None:
    """Checks that rows of the schema `wanted` fit this table: same identity, same types.

    Further columns of the table (scores, flags of later jobs) are allowed. New rows are null there.

    Raises:
        IdentityError: the table has another model, preprocessing, tokenizer, precision or dimension.
        TableError: the table has another vector type, lacks a column to keep from the source, or a signal fills it.
    """
    identity = _identity(table.uri, wanted)
    for name, theirs, ours in table.identity.differences(identity):
        made_by = f" (--preprocessing {decoding_of(str(theirs))})" if name == "preprocessing" else ""
        raise IdentityError(
            f"table {table.uri}: it was made with {name} {theirs} (model {table.identity.model}), but this run uses "
            f"{name} {ours} (model {identity.model}); use the model and options that made it{made_by}, or another "
            "--table"
        )
    for column in wanted:
        theirs = table.schema.field(column.name).type if column.name in table.schema.names else "no such column"
        if theirs != column.type:
            raise TableError(
                f"table {table.uri}: column {column.name!r} is {theirs} there, but {column.type} in this run; "
                "use the --vector-dtype and --keep-cols that made it, or another --table"
            )
        _require_no_signal(table, column)
    require_nullable(table, wanted.names)


def _require_no_signal(table: Table, column: pa.Field) -> None:
    """Checks that no signal fills a column that rows are to bring along."""
    record = (table.schema.field(column.name).metadata or {}).get(schema.SIGNAL_KEY.encode())
    if record is not None and schema.SIGNAL_KEY.encode() not in (column.metadata or {}):
        raise TableError(
            f"table {table.uri}: column {column.name!r} is filled by signal {json.loads(record)['signal']!r}; run this "
            "without it in --keep-cols"
        )


def lacks_captions(table: Table) -> str | None:
    """Why no pair of this table can have a score: it has images alone. None if it can."""
    if table.any(f"{EMBEDDED} AND {schema.TEXT_VECTOR} IS NOT NULL"):
        return None
    return f"no row has a caption; {table.uri.command('captions', '--input …')} adds them"


def columns_without_nulls(table: Table, known: Collection[str]) -> list[str]:
    """Columns beside the known ones that allow no nulls, as `add_columns` of Lance makes them from other columns."""
    return [field.name for field in table.schema if field.name not in known and not field.nullable]


def require_nullable(table: Table, known: Collection[str]) -> None:
    """Checks that a new row can be null in every column beside the known ones.

    Raises:
        TableError: another program added a column that allows no nulls.
    """
    if names := columns_without_nulls(table, known):
        raise TableError(
            f"table {table.uri}: column {names[0]!r}, which another program added, allows no nulls, so no row can be "
            f"added or removed; `siglane verify --table {table.uri} --repair` lets it hold nulls"
        )


def _open(uri: TableUri) -> Any:
    try:
        dataset = lance.dataset(uri.dataset, storage_options=uri.storage_options)
    except (ValueError, OSError) as error:
        # Lance has no separate error class for a missing dataset.
        if "was not found" in str(error):
            return None
        raise read_failure(uri, "cannot be opened", error) from error
    if uri.state is None:
        return dataset
    try:
        return dataset.checkout_version(uri.state)
    except (ValueError, OSError) as error:
        if "not found" not in str(error) and "does not exist" not in str(error):
            raise read_failure(uri, f"version or tag {uri.state!r} cannot be read", error) from error
        tags = ", ".join(sorted(dataset.tags.list())) or "none"
        raise TableError(
            f"table {uri}: no version or tag {uri.state!r}; its newest version is {dataset.version}, its tags: {tags}"
        ) from error


def _identity(uri: TableUri, table_schema: pa.Schema) -> Identity:
    metadata = {key.decode(): value.decode() for key, value in (table_schema.metadata or {}).items()}
    if schema.IDENTITY_KEY not in metadata:
        raise TableError(
            f"table {uri}: not made by siglane (no {schema.IDENTITY_KEY} in its schema); choose another name"
        )
    version = int(metadata[schema.VERSION_KEY])
    if version != schema.SCHEMA_VERSION:
        raise TableError(
            f"table {uri}: its schema has version {version}, but this siglane reads version {schema.SCHEMA_VERSION}; "
            "use the siglane release that made it"
        )
    return Identity.from_json(metadata[schema.IDENTITY_KEY])
