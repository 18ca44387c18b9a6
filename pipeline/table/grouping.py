"""Groups of rows that have the same value of a column: which columns can group, and the number of each row's group."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import TableError
from pipeline.table.store import Table

MAX_GROUPS = 1000


def _require_groups(table: Table, per: str) -> None:
    """Raises TableError unless `per` is a column of strings, integers or booleans."""

    def usable(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))

    usable_names = [field.name for field in table.schema if usable(field.type)]
    if per not in usable_names:
        raise TableError(
            f"table {table.uri}: no column {per!r} of strings, integers or booleans; "
            f"choose one of {', '.join(usable_names)}"
        )


class Groups:
    """The values of `per` that were met so far, each with its number: 0, 1, 2, …

    Raises:
        TableError: `per` cannot group rows.
    """

    def __init__(self, table: Table, per: str) -> None:
        _require_groups(table, per)
        self._table, self._per = table, per
        self.numbers: dict[Any, int] = {}

    def of(self, column: pa.Array) -> npt.NDArray[np.int32]:
        """The number of each row's group, [N], for rows with these values of `per`. Nulls are a group too.

        Raises:
            TableError: there are more than `MAX_GROUPS` values.
        """
        encoded = column.dictionary_encode(null_encoding="encode")
        numbers = [self.numbers.setdefault(value, len(self.numbers)) for value in encoded.dictionary.to_pylist()]
        if len(self.numbers) > MAX_GROUPS:
            raise TableError(
                f"table {self._table.uri}: column {self._per!r} has more than {MAX_GROUPS} values, too many for one "
                "cut each; choose another --per"
            )
        of_rows: npt.NDArray[np.int32] = np.array(numbers, np.int32)[encoded.indices.to_numpy()]
        return of_rows
