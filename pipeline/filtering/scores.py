"""The scores of a table's rows, whole or by the values of a column: what a cut is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import TableError
from pipeline.filters.cut import Scores
from pipeline.table import ROW_ADDRESS, Table

MAX_GROUPS = 1000
ROWS_PER_BATCH = 1 << 16


@dataclass(frozen=True)
class Group:
    value: Any
    """of the column that rows are grouped by; None where that is null, or where rows are not grouped"""
    rows: int
    scores: Scores
    """[M], finite, of those rows that have one"""
    addresses: npt.NDArray[np.uint64]
    """[M], where these rows lie"""


def read_groups(table: Table, by: str, condition: str, per: str | None) -> list[Group]:
    """The scored rows that meet the condition, by their value of `per`, in the order of the values.

    Raises:
        TableError: `by` is not a column of numbers, `per` not one of texts, whole numbers or truth values, or one of
            more than `MAX_GROUPS` values; or the condition is no SQL over this table.
    """
    _require_numbers(table, by)
    if per is not None:
        _require_values(table, per)
    values: dict[Any, int] = {} if per is not None else {None: 0}
    rows, codes, scores, addresses = [0] * len(values), list[Any](), list[Any](), list[Any]()
    for batch in table.scan([by] if per is None else [by, per], condition, True, ROWS_PER_BATCH):
        code_N = np.zeros(len(batch), np.int32) if per is None else _codes(batch[per], values, table, per)
        counts = np.bincount(code_N, minlength=len(values))
        rows = [old + int(new) for old, new in zip(rows + [0] * (len(values) - len(rows)), counts, strict=True)]
        score_N = scores_of(batch[by])
        has = np.isfinite(score_N)  # infinity ranks nothing, and a cut there means that nothing is kept
        codes.append(code_N[has])
        scores.append(score_N[has])
        addresses.append(batch[ROW_ADDRESS].to_numpy()[has])
    return list(
        _split(values, rows, _joined(codes, np.int32), _joined(scores, np.float32), _joined(addresses, np.uint64))
    )


def scores_of(column: pa.Array) -> Scores:
    """A column of numbers as floats [N], NaN where it is null."""
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
    scores: Scores = column.to_numpy(zero_copy_only=False)
    return scores


def _codes(column: pa.Array, values: dict[Any, int], table: Table, per: str) -> npt.NDArray[np.int32]:
    encoded = column.dictionary_encode(null_encoding="encode")
    codes = [values.setdefault(value, len(values)) for value in encoded.dictionary.to_pylist()]
    if len(values) > MAX_GROUPS:
        raise TableError(
            f"table {table.uri}: column {per!r} has more than {MAX_GROUPS} values, too many for a cut each"
        )
    of_rows: npt.NDArray[np.int32] = np.array(codes, np.int32)[encoded.indices.to_numpy()]
    return of_rows


def _split(
    values: dict[Any, int],
    rows: list[int],
    codes: npt.NDArray[np.int32],
    scores: Scores,
    addresses: npt.NDArray[np.uint64],
) -> Iterator[Group]:
    order = np.argsort(codes, kind="stable") if len(values) > 1 else slice(None)
    codes, scores, addresses = codes[order], scores[order], addresses[order]
    for value in sorted(values, key=lambda value: (value is None, value)):
        code = values[value]
        start, end = np.searchsorted(codes, [code, code + 1])
        yield Group(value, rows[code], scores[start:end], addresses[start:end])


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _require_numbers(table: Table, by: str) -> None:
    numbers = [
        field.name for field in table.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]
    if by not in numbers:
        raise TableError(f"table {table.uri}: has no column {by!r} of numbers; those it has: {', '.join(numbers)}")


def _require_values(table: Table, per: str) -> None:
    def usable(kind: pa.DataType) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))

    usable_names = [field.name for field in table.schema if usable(field.type)]
    if per not in usable_names:
        raise TableError(
            f"table {table.uri}: has no column {per!r} of texts, whole numbers or truth values; "
            f"those it has: {', '.join(usable_names)}"
        )
