"""Reads the scores that a cut is computed from: of all rows, or grouped by the values of a column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.errors import TableError
from pipeline.schema import Identity
from pipeline.table import ROW_ADDRESS, Groups, Table
from siglip_core import similarity

Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]

ROWS_PER_BATCH = 1 << 14

Scale = tuple[float, float]
"""smallest and largest value of a column"""


@dataclass(frozen=True)
class ScoredGroup:
    value: Any
    """value of the column that rows are grouped by; None if it is null, or if rows are not grouped"""
    rows: int
    scores: Scores
    """[M], finite scores of the rows that have one"""
    addresses: npt.NDArray[np.uint64]
    """[M], addresses of these rows; [0] if they were not requested"""
    scales: Mapping[str, Scale] | None = None
    """scale of each column of a weighted sum, over the M rows; None without a weighted sum"""


def read_groups(
    table: Table,
    by: str | Mapping[str, float],
    condition: str | None,
    per: str | None,
    scales: Mapping[Any, Mapping[str, Scale]] | None = None,
    with_addresses: bool = True,
) -> list[ScoredGroup]:
    """The scored rows that meet the condition, grouped by their value of `per`, in the order of these values.

    Args:
        by: a column, or the weights of several columns. Each column is scaled to 0 to 1.
        condition: SQL; None for all rows.
        scales: scales of the columns, by the group's value. A group without scales has no scored row. By default, the
            scales are computed over the group's rows that have all columns.

    Raises:
        TableError: `by` names a column that is not numeric; `per` is not a column of strings, integers or booleans, or
            has more than `table.grouping.MAX_GROUPS` values; or the condition is not SQL over this table.
    """
    columns = [by] if isinstance(by, str) else list(by)
    require_numbers(table, columns)
    groups = None if per is None else Groups(table, per)
    values: dict[Any, int] = {None: 0} if groups is None else groups.numbers
    rows, codes, addresses = [0] * len(values), list[Any](), list[Any]()
    numbers: list[list[Scores]] = [[] for _ in columns]
    read = list(dict.fromkeys(columns if per is None else [*columns, per]))
    for batch in table.scan(read, condition, with_addresses, ROWS_PER_BATCH):
        code_N = np.zeros(len(batch), np.int32) if groups is None else groups.of(batch[per])
        counts = np.bincount(code_N, minlength=len(values))
        rows = [old + int(new) for old, new in zip(rows + [0] * (len(values) - len(rows)), counts, strict=True)]
        of_batch = [scores_of(batch[column]) for column in columns]
        has = np.isfinite(of_batch[0])  # infinity is not a score: as a threshold it means that nothing is kept
        for more in of_batch[1:]:
            has &= np.isfinite(more)
        chosen = slice(None) if has.all() else has  # a slice gives a view if no row is left out
        if groups is not None:
            codes.append(code_N[chosen])
        if with_addresses:
            addresses.append(batch[ROW_ADDRESS].to_numpy()[chosen])
        for parts, number_N in zip(numbers, of_batch, strict=True):
            parts.append(number_N[chosen])
    split = list(_split(values, rows, _joined(codes, np.int32)))
    addresses_M = _joined(addresses, np.uint64) if with_addresses else None
    numbers_M = [_joined(parts, np.float32) for parts in numbers]
    return [
        _group(value, count, chosen, by, numbers_M, addresses_M, None if scales is None else scales.get(value, {}))
        for value, count, chosen in split
    ]


def _group(
    value: Any,
    rows: int,
    chosen: Any,
    by: str | Mapping[str, float],
    numbers_M: Sequence[Scores],
    addresses_M: npt.NDArray[np.uint64] | None,
    scales: Mapping[str, Scale] | None,
) -> ScoredGroup:
    addresses = np.empty(0, np.uint64) if addresses_M is None else addresses_M[chosen]
    if isinstance(by, str):
        return ScoredGroup(value, rows, numbers_M[0][chosen], addresses)
    columns = {column: number_M[chosen] for column, number_M in zip(by, numbers_M, strict=True)}
    if scales is None:
        scales = {name: (float(column.min()), float(column.max())) for name, column in columns.items() if len(column)}
    if not scales:
        return ScoredGroup(value, rows, np.empty(0), addresses[:0], scales)
    return ScoredGroup(value, rows, weighted_sum(by, columns, scales), addresses, scales)


def weighted_sum(
    weights: Mapping[str, float], columns: Mapping[str, Scores], scales: Mapping[str, tuple[Any, Any]]
) -> npt.NDArray[np.float64]:
    """The weighted sum of columns [N], each scaled so that its smallest value becomes 0 and its largest 1.

    `scales`: (smallest, largest) of each column, as numbers or [N]. Equal values give bit-equal sums, however rows are
    batched. A column with a single value becomes 0.
    """
    total: npt.NDArray[np.float64] = np.zeros(1)
    for name, weight in weights.items():
        low, high = scales[name]
        span = np.where(np.greater(high, low), np.subtract(high, low), 1.0)
        total = total + weight * ((columns[name].astype(np.float64) - low) / span)
    return total


def in_units_of(by: str, cosines: npt.NDArray[Any], identity: Identity) -> npt.NDArray[Any]:
    """Converts cosines to the logit or probability `by`, which rank pairs alike. Other scores stay as they are."""
    if by not in (schema.LOGIT, schema.PROBABILITY):
        return cosines
    logits = similarity.logit(cosines, identity.logit_scale, identity.logit_bias)
    return logits if by == schema.LOGIT else similarity.probability(logits)


def scores_of(column: pa.Array) -> Scores:
    """A column of numbers as floats [N]; NaN for null."""
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
    scores: Scores = column.to_numpy(zero_copy_only=False)
    return scores


def _split(values: dict[Any, int], rows: list[int], codes: npt.NDArray[np.int32]) -> Iterator[tuple[Any, int, Any]]:
    """(value, number of rows, selection of its scored rows) of each group."""
    if len(values) == 1:
        yield next(iter(values)), rows[0], slice(None)
        return
    order = np.argsort(codes, kind="stable")
    codes = codes[order]
    for value in sorted(values, key=lambda value: (value is None, value)):
        code = values[value]
        start, end = np.searchsorted(codes, [code, code + 1])
        yield value, rows[code], order[start:end]


def _joined(parts: list[Any], dtype: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def require_numbers(table: Table, columns: Sequence[str]) -> None:
    """Checks that the columns are numeric.

    Raises:
        TableError: one of the columns is missing, or not numeric.
    """
    numbers = [
        field.name for field in table.schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
    ]
    for column in columns:
        if column not in numbers:
            has, score = ", ".join(numbers), table.uri.command("score", "--signal NAME")
            raise TableError(
                f"table {table.uri}: no numeric column {column!r}; if it is a signal, fill it with {score}; the table "
                f"has {has}"
            )
