"""The rows to compare, and their order, which decides which row of a group is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.errors import TableError
from pipeline.progress import current
from pipeline.table import EMBEDDED, ROW_ADDRESS, ROWS_PER_BATCH, Table

Indices = npt.NDArray[np.int64]

_DTYPES = [np.dtype(name) for name in ("S32", "S64", "bool", "uint64")]


@dataclass(frozen=True)
class ComparedRows:
    """Rows of one snapshot of a table, in the table's order. Needs about a hundred bytes per row."""

    table: Table
    has_feature: str
    """SQL condition: rows that can be compared"""
    where: str
    """SQL condition of these rows: those that can be compared, except rows already marked as duplicates"""
    uids: npt.NDArray[np.bytes_]
    """S32 [N]"""
    features: npt.NDArray[np.bytes_]
    """the compared hash as hex characters, S64 [N]; empty if vectors are compared"""
    judged: npt.NDArray[np.bool_]
    """[N], rows that were part of this comparison before"""
    addresses: npt.NDArray[np.uint64]
    marked: int
    """number of rows excluded because they are already marked as duplicates"""

    def __len__(self) -> int:
        return len(self.uids)

    @cached_property
    def positions(self) -> npt.NDArray[np.intp]:
        """Positions, for `Table.take`, of these rows among all rows of the table, [N]."""
        return self.table.positions(self.addresses)

    def all_positions(self) -> npt.NDArray[np.intp]:
        """`positions` of all rows that have the feature, marked rows included, in the table's order; [N + marked]."""
        batches = self.table.scan([], self.has_feature, addresses=True, rows_per_batch=ROWS_PER_BATCH)
        addresses = [batch[ROW_ADDRESS].to_numpy() for batch in batches]
        return self.table.positions(np.concatenate([np.empty(0, np.uint64), *addresses]))


def load(table: Table, feature: str, check: str, also_marked: bool = False) -> ComparedRows:
    """The embedded rows that have a value in the column `feature`. Skips marked duplicates, unless `also_marked`.

    Raises:
        TableError: several rows have the same uid, so a mark would be ambiguous.
    """
    has_feature = f"{EMBEDDED} AND {feature} IS NOT NULL"
    where, marked = has_feature, 0
    names = [schema.UID]
    if schema.DUPLICATE_OF in table.schema.names and not also_marked:
        names.append(schema.DEDUP_JUDGED)
        where = f"{has_feature} AND {schema.DUPLICATE_OF} IS NULL"
        marked = table.count(f"{has_feature} AND {schema.DUPLICATE_OF} IS NOT NULL")
    is_text = pa.types.is_string(table.schema.field(feature).type)
    names += [feature] if is_text else []
    parts = list[tuple[Any, ...]]()
    current.begin("reading rows")
    for batch in table.scan(names, where, addresses=True, rows_per_batch=ROWS_PER_BATCH):
        current.add(len(batch))
        texts = batch[feature].to_pylist() if is_text else [""] * len(batch)
        judged = was_judged(batch[schema.DEDUP_JUDGED], check) if schema.DEDUP_JUDGED in names else [False] * len(batch)
        values = (batch[schema.UID].to_pylist(), texts, judged, batch[ROW_ADDRESS].to_numpy())
        parts.append(tuple(np.asarray(value, dtype) for value, dtype in zip(values, _DTYPES, strict=True)))
    uids, texts_of, is_judged, addresses = (
        np.concatenate([np.empty(0, dtype), *(part[place] for part in parts)]) for place, dtype in enumerate(_DTYPES)
    )
    rows = ComparedRows(table, has_feature, where, uids, texts_of, is_judged, addresses, marked)
    if len(np.unique(rows.uids)) < len(rows):
        raise TableError(
            f"table {table.uri}: several rows have the same uid, so a mark would be ambiguous; `siglane verify` names "
            "them; embed into another table, with a --uid-col of unique values"
        )
    return rows


def was_judged(column: pa.Array, check: str) -> list[bool]:
    """Whether each row was part of the comparison `check`, from the column `dedup_judged`."""
    return [text is not None and check in text.split(",") for text in column.to_pylist()]


@dataclass(frozen=True)
class Order:
    """The rows of a comparison, in an order that puts a kept row before its possible duplicates.

    First come the `fixed` rows, which are never marked: rows of another table, or rows that were judged before. Then
    come the rows to judge. Both parts are sorted by uid.
    """

    rows: ComparedRows
    other: ComparedRows | None
    """rows of another table; then `rows` are compared only with these"""
    places: Indices
    """[N], the rows in this order: for the `fixed` rows the index in `other` (or `rows`), then the index in `rows`"""
    fixed: int

    @property
    def among_judged(self) -> bool:
        """Whether the rows to judge are compared with each other."""
        return self.other is None

    def features(self) -> npt.NDArray[np.bytes_]:
        if self.other is None:
            return self.rows.features[self.places]
        of_other, own = self.places[: self.fixed], self.places[self.fixed :]
        return np.concatenate([self.other.features[of_other], self.rows.features[own]])

    def tables(self) -> Sequence[tuple[ComparedRows, Indices]]:
        """The rows by table: (rows of the table, their places in this order)."""
        everywhere = np.arange(len(self.places))
        if self.other is None:
            return [(self.rows, everywhere)]
        return [(self.other, everywhere[: self.fixed]), (self.rows, everywhere[self.fixed :])]

    def names(self, at: Indices) -> list[str]:
        """The `duplicate_of` values that name the rows at these places: uid, or TABLE#uid for another table."""
        names = list[str]()
        for place in at.tolist():
            if self.other is not None and place < self.fixed:
                names.append(f"{self.other.table.uri.name}#{self.other.uids[self.places[place]].decode()}")
            else:
                names.append(self.rows.uids[self.places[place]].decode())
        return names


def in_order(rows: ComparedRows, other: ComparedRows | None, only_new: bool) -> Order:
    """The order of a comparison, within a table or with another one. `only_new`: judge only rows not yet judged."""
    new = ~rows.judged if only_new else np.ones(len(rows), bool)
    own = np.argsort(rows.uids, kind="stable")
    to_judge = own[new[own]]
    fixed = own[~new[own]] if other is None else np.argsort(other.uids, kind="stable")
    return Order(rows, other, np.concatenate([fixed, to_judge]), len(fixed))
