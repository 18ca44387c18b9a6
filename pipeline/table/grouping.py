"""Which columns can group rows, and into how many groups."""

from __future__ import annotations

import pyarrow as pa

from pipeline.errors import TableError
from pipeline.table.store import Table

MAX_GROUPS = 1000


def require_groups(table: Table, per: str) -> None:
    """Raises TableError unless `per` is a column of strings, integers or booleans."""

    def usable(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))

    usable_names = [field.name for field in table.schema if usable(field.type)]
    if per not in usable_names:
        raise TableError(
            f"table {table.uri}: no column {per!r} of strings, integers or booleans; "
            f"choose one of {', '.join(usable_names)}"
        )


def require_few_groups(table: Table, per: str, found: int) -> None:
    """Raises TableError if more than `MAX_GROUPS` values of `per` were found."""
    if found > MAX_GROUPS:
        raise TableError(
            f"table {table.uri}: column {per!r} has more than {MAX_GROUPS} values, too many for one cut each; "
            "choose another --per"
        )
