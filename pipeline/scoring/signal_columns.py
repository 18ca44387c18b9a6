"""The columns of a signal in a table: adds them, and makes sure that only one version of the signal fills them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline import schema
from pipeline.errors import TableError
from pipeline.scoring.chosen import Chosen
from pipeline.scoring.origin import Origin, Record, read_record, require_origin
from pipeline.table import Table, TableUri, add_columns, open_table


def require_read(table: Table, chosen: Chosen) -> None:
    """Checks that the table has the columns that a signal reads.

    Raises:
        TableError: it lacks one.
    """
    if missing := [name for name in chosen.signal.READ if name not in table.schema.names]:
        raise TableError(
            f"table {table.uri}: no column {missing[0]!r}, which signal {chosen.name!r} reads; it has "
            f"{', '.join(table.schema.names)}"
        )


def add_signal_columns(uri: TableUri, chosen: Chosen, again: bool) -> None:
    """Adds the columns of a signal that the table lacks, with the signal's name and version in their metadata.

    With `again`, values of another version are cleared first.

    Raises:
        TableError: a column has another type, or was not filled by a signal; or, without `again`, the columns have
            values of another version.
    """
    fields = [pa.field(name, kind) for name, kind in chosen.signal.FIELDS.items()]
    if chosen.version is None:
        add_columns(uri, pa.schema(fields))
        return
    record = {"signal": chosen.name, "version": chosen.version}
    origin = Origin(schema.SIGNAL_KEY, record, tuple(record))

    def described(there: Record | None) -> str:
        assert there is not None
        return (
            f"its {chosen.columns[0]} was computed by signal {there['signal']!r}, version {there['version']}, but this "
            f"is {chosen.name!r}, version {chosen.version}; give that one to fill the missing rows"
        )

    def require_own() -> None:
        columns = [name for name in chosen.columns if name in open_table(uri).schema.names]
        _require_filled_by_signals(open_table(uri), columns, chosen.name)
        require_origin(uri, columns, origin, again, chosen.work, described)

    require_own()
    add_columns(uri, pa.schema([field.with_metadata(origin.metadata) for field in fields]))
    require_own()  # another run may have added them in between


def _require_filled_by_signals(table: Table, columns: Sequence[str], name: str) -> None:
    for column in columns:
        if read_record(table.schema.field(column), schema.SIGNAL_KEY) is None:
            raise TableError(
                f"table {table.uri}: its column {column!r} was not filled by a signal, so signal {name!r} leaves it as "
                "it is; choose another name in FIELDS"
            )
