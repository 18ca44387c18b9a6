"""The rows that are compared, and the order that says which of a group stays."""

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
from pipeline.table import EMBEDDED, ROW_ADDRESS, ROWS_PER_BATCH, Table

Indices = npt.NDArray[np.int64]

_DTYPES = [np.dtype(name) for name in ("S32", "S64", "bool", "uint64")]


@dataclass(frozen=True)
class ComparedRows:
    """Rows of one state of a table, in the order they lie: a hundred bytes or so of each."""

    table: Table
    has_feature: str
    """the condition on what can be compared at all"""
    where: str
    """the condition that these rows meet: less those that are marked as duplicates already"""
    uids: npt.NDArray[np.bytes_]
    """S32 [N]"""
    features: npt.NDArray[np.bytes_]
    """the hex characters of what is compared, S64 [N]; empty where vectors are"""
    judged: npt.NDArray[np.bool_]
    """those that were part of this comparison before, [N]"""
    addresses: npt.NDArray[np.uint64]
    marked: int
    """how many are left out, because they are marked as duplicates already"""

    def __len__(self) -> int:
        return len(self.uids)

    @cached_property
    def positions(self) -> npt.NDArray[np.intp]:
        """Where each lies among all rows of the table: for `Table.take`, [N]."""
        return self.table.positions(self.addresses)

    def all_positions(self) -> npt.NDArray[np.intp]:
        """As `positions`, of all rows that have the feature, the marked ones too, as they lie; [N + marked]."""
        batches = self.table.scan([], self.has_feature, addresses=True, rows_per_batch=ROWS_PER_BATCH)
        addresses = [batch[ROW_ADDRESS].to_numpy() for batch in batches]
        return self.table.positions(np.concatenate([np.empty(0, np.uint64), *addresses]))


def load(table: Table, feature: str, check: str, also_marked: bool = False) -> ComparedRows:
    """The embedded rows that have the feature, a column, and, unless `also_marked`, are not marked as duplicates.

    Raises:
        TableError: several rows have one uid, so that a mark would not say which is meant.
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
    for batch in table.scan(names, where, addresses=True, rows_per_batch=ROWS_PER_BATCH):
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
            f"table {table.uri}: several rows have one uid, so a mark would not say which it means; "
            "`siglane verify` names them; embed into another table with a --uid-col of unique ones"
        )
    return rows


def was_judged(column: pa.Array, check: str) -> list[bool]:
    """Whether each row was part of a comparison, by its column `dedup_judged`."""
    return [text is not None and check in text.split(",") for text in column.to_pylist()]


@dataclass(frozen=True)
class Order:
    """The rows of a comparison, the one that stays before those that may be marked as its duplicates.

    First come `fixed` rows that are only compared with: another table's, or those that were judged before. Then the
    rows to judge. Each part is in order of uid.
    """

    rows: ComparedRows
    other: ComparedRows | None
    """another table's, to compare with it alone"""
    places: Indices
    """[N], of the rows in this order: the place in `other` of the first, the place in `rows` of the others"""
    fixed: int

    @property
    def among_judged(self) -> bool:
        """Whether rows that are to be judged are compared with each other."""
        return self.other is None

    def features(self) -> npt.NDArray[np.bytes_]:
        if self.other is None:
            return self.rows.features[self.places]
        of_other, own = self.places[: self.fixed], self.places[self.fixed :]
        return np.concatenate([self.other.features[of_other], self.rows.features[own]])

    def tables(self) -> Sequence[tuple[ComparedRows, Indices]]:
        """The rows by the table that they lie in: (its rows, their places in this order)."""
        everywhere = np.arange(len(self.places))
        if self.other is None:
            return [(self.rows, everywhere)]
        return [(self.other, everywhere[: self.fixed]), (self.rows, everywhere[self.fixed :])]

    def names(self, at: Indices) -> list[str]:
        """What `duplicate_of` says of the rows at these places: the uid, of another table TABLE#uid."""
        names = list[str]()
        for place in at.tolist():
            if self.other is not None and place < self.fixed:
                names.append(f"{self.other.table.uri.name}#{self.other.uids[self.places[place]].decode()}")
            else:
                names.append(self.rows.uids[self.places[place]].decode())
        return names


def in_order(rows: ComparedRows, other: ComparedRows | None, only_new: bool) -> Order:
    """The order of a comparison: within a table, or with another one; with `only_new`, of rows not yet judged."""
    new = ~rows.judged if only_new else np.ones(len(rows), bool)
    own = np.argsort(rows.uids, kind="stable")
    to_judge = own[new[own]]
    fixed = own[~new[own]] if other is None else np.argsort(other.uids, kind="stable")
    return Order(rows, other, np.concatenate([fixed, to_judge]), len(fixed))
