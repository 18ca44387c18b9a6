"""Writes the results of a comparison into the table's columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.dedup.compared_rows import Indices, Order
from pipeline.table import TableUri, add_columns, fill_columns

_COLUMNS = pa.schema([(name, pa.string()) for name in schema.DUPLICATES])


def prepare(uri: TableUri) -> None:
    """Adds the columns that the table lacks."""
    add_columns(uri, _COLUMNS)


def clear(uri: TableUri) -> None:
    """Clears all marks, of every comparison."""
    marked = f"{schema.DUPLICATE_OF} IS NOT NULL OR {schema.DEDUP_JUDGED} IS NOT NULL"
    for _ in fill_columns(
        uri,
        "dedup",
        [schema.UID],
        marked,
        lambda batch: {name: pa.nulls(len(batch), pa.string()) for name in schema.DUPLICATES},
    ):
        pass


def write(order: Order, kept: Indices, method: str, check: str) -> None:
    """Marks the duplicates, and records for each judged row that it was judged.

    A killed run leaves complete commits. The next run marks the remaining rows as the killed run would have: a marked
    row never affects the marks of others. Rows added meanwhile stay unjudged.
    """
    own = order.places[order.fixed :]
    marked = kept[order.fixed :]
    is_marked = marked >= 0
    if not is_marked.any() and order.rows.judged[own].all():
        return
    by_uid = np.argsort(order.rows.uids[own], kind="stable")
    uids = order.rows.uids[own][by_uid]
    names = np.full(len(own), None, object)
    names[is_marked] = order.names(marked[is_marked])
    names = names[by_uid]

    def mark(batch: pa.RecordBatch) -> dict[str, pa.Array]:
        at = _places(batch, uids)
        of = [names[place] if place >= 0 else None for place in at]
        judged = [
            text if place < 0 else _with(text, check)
            for text, place in zip(batch[schema.DEDUP_JUDGED].to_pylist(), at, strict=True)
        ]
        columns = (of, [method if name is not None else None for name in of], judged)
        return {name: pa.array(values, pa.string()) for name, values in zip(schema.DUPLICATES, columns, strict=True)}

    read = [schema.UID, schema.DEDUP_JUDGED]
    for _ in fill_columns(order.rows.table.uri, "dedup", read, order.rows.where, mark):
        pass


def _places(batch: pa.RecordBatch, uids: npt.NDArray[np.bytes_]) -> Indices:
    """The index of each row's uid in the sorted `uids`, or -1 if it is missing; int64 [N]."""
    wanted = np.array(batch[schema.UID].to_pylist(), "S32")
    at = np.searchsorted(uids, wanted).clip(max=len(uids) - 1)
    return np.where(uids[at] == wanted, at, -1)


def _with(text: str | None, check: str) -> str:
    return ",".join(sorted({*(text.split(",") if text else ()), check}))
