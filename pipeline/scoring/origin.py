"""Records in columns what their values were computed by, so that values of two origins are never mixed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline import schema
from pipeline.errors import TableError
from pipeline.table import Table, TableUri, annotate_columns, at_work, fill_columns, open_table

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """What values are computed by, or for."""

    key: str
    """the key of the record in the metadata of a column"""
    record: Record
    compared: Sequence[str]
    """the members of the record that are equal if the origin is the same"""

    def other(self, table: Table, columns: Sequence[str]) -> list[Record | None]:
        """The records of other origins in these columns; None for a column without a record."""
        found = [read_record(table.schema.field(column), self.key) for column in columns]
        return [record for record in found if not self._is_same(record)]

    def _is_same(self, record: Record | None) -> bool:
        return record is not None and all(record.get(name) == self.record[name] for name in self.compared)

    @property
    def metadata(self) -> dict[str, str]:
        return {self.key: json.dumps(self.record)}


def read_record(field: pa.Field, key: str) -> Record | None:
    """The record in a column; None if there is none."""
    record: Record | None = json.loads((field.metadata or {}).get(key.encode(), b"null"))
    return record


def require_origin(
    uri: TableUri,
    columns: Sequence[str],
    origin: Origin,
    again: bool,
    work: str,
    described: Callable[[Record | None], str],
) -> None:
    """Makes sure that all values of the columns have this origin, and records it in the columns.

    With `again`, values of another origin are cleared first, so that a killed run leaves no mixture.

    Args:
        work: what a run that fills these columns does; while another run does it, the record stays as it is.
        described: the beginning of the message about values of another origin, given its record.

    Raises:
        TableError: without `again`, if the columns have values of another origin; or another run fills them.
    """
    others = origin.other(open_table(uri), columns)
    if not others:
        return
    with at_work(uri, work):
        table = open_table(uri)
        present = " OR ".join(f"{column} IS NOT NULL" for column in columns)
        if table.any(present):
            if not again:
                raise TableError(f"table {uri}: {described(others[0])}, or --all to compute every row again")
            nulls = {column: table.schema.field(column).type for column in columns}
            for _ in fill_columns(
                uri,
                f"clear {columns[0]}",
                [schema.UID],
                present,
                lambda batch: {name: pa.nulls(len(batch), kind) for name, kind in nulls.items()},
            ):
                pass
        annotate_columns(uri, columns, origin.key, json.dumps(origin.record))
