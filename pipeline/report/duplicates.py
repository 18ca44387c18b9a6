"""Results of `siglane dedup`: the number of duplicates by method, and the largest groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.filtering.scores import ROWS_PER_BATCH
from pipeline.table import EMBEDDED, ROW_ADDRESS, Table

GROUPS = 4
ROWS_SHOWN = 6
"""rows shown of each group"""

_MARKED = f"{EMBEDDED} AND {schema.DUPLICATE_OF} IS NOT NULL"


@dataclass(frozen=True)
class DuplicateGroup:
    rows: int
    """duplicates, without the kept row"""
    addresses: Sequence[int]
    """addresses of the kept row and of some duplicates"""


@dataclass(frozen=True)
class Duplicates:
    by_method: Counter[str]
    elsewhere: int
    """how many of them are duplicates of a row in another table"""
    groups: int
    """rows of this table that have duplicates"""
    largest: Sequence[DuplicateGroup]


def find(table: Table) -> Duplicates | None:
    """The duplicates in a table; None if deduplication has not run."""
    if schema.DUPLICATE_OF not in table.schema.names or not table.count(f"{schema.DEDUP_JUDGED} IS NOT NULL"):
        return None
    by_method: Counter[str] = Counter()
    elsewhere, stay = 0, [np.empty(0, "S32")]
    columns = [schema.DUPLICATE_OF, schema.DUPLICATE_METHOD]
    for batch in table.scan(columns, _MARKED, rows_per_batch=ROWS_PER_BATCH):
        for method in batch[schema.DUPLICATE_METHOD].value_counts().to_pylist():
            by_method[str(method["values"])] += method["counts"]
        named = batch[schema.DUPLICATE_OF]
        here = named.filter(pc.equal(pc.utf8_length(named), 32))  # for a row of another table it is TABLE#uid
        elsewhere += len(named) - len(here)
        stay.append(here.cast(pa.binary(32)).to_numpy(zero_copy_only=False).astype("S32"))
    uids, rows = np.unique(np.concatenate(stay), return_counts=True)
    largest = np.argsort(-rows, kind="stable")[:GROUPS]
    return Duplicates(
        by_method,
        elsewhere,
        len(uids),
        [DuplicateGroup(int(rows[place]), _some(table, uids[place].decode())) for place in largest],
    )


def _some(table: Table, uid: str) -> list[int]:
    found: list[int] = []
    for where in (f"{EMBEDDED} AND {schema.UID} = '{uid}'", f"{EMBEDDED} AND {schema.DUPLICATE_OF} = '{uid}'"):
        for batch in table.scan([], where, addresses=True):
            found += batch[ROW_ADDRESS].to_pylist()
            if len(found) >= ROWS_SHOWN:
                break
    return list(dict.fromkeys(found))[:ROWS_SHOWN]
