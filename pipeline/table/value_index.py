"""Indexes on captions, for words, and on columns of values, for conditions."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.table.object_store import store_failures
from pipeline.table.store import Table
from pipeline.table.transactions import commit_by_lance, until_landed
from pipeline.table.uri import TableUri

_LANCE_S = {"full-text": "INVERTED", "btree": "BTREE", "bitmap": "BITMAP"}


@dataclass(frozen=True)
class ValueIndex:
    """An index on a column that holds no vectors."""

    name: str
    column: str
    kind: str
    """full-text, btree, bitmap, or another kind of Lance in lower case"""
    rows_without: int
    """rows in the fragments that it does not cover"""


def value_indexes(table: Table) -> list[ValueIndex]:
    """All indexes of one column that holds no vectors."""
    found = []
    ours = {lance_s: kind for kind, lance_s in _LANCE_S.items()}
    fragments = {fragment.fragment_id: fragment.metadata.num_rows for fragment in table.lance.get_fragments()}
    with store_failures(table.uri):
        for index in table.lance.describe_indices():
            names = list(index.field_names)
            if len(names) == 1 and not pa.types.is_fixed_size_list(table.schema.field(names[0]).type):
                kind = ours.get(index.index_type.upper(), index.index_type.lower())
                covered = {number for part in index.segments for number in part.fragment_ids}
                without = sum(rows for number, rows in fragments.items() if number not in covered)
                found.append(ValueIndex(index.name, names[0], kind, without))
    return found


def has_text_index(table: Table, column: str) -> bool:
    """Whether a column can be searched for words. Without an index, Lance finds only words that are spelled alike."""
    return any(index.column == column and index.kind == "full-text" for index in value_indexes(table))


def kind_for(values: pa.DataType) -> str | None:
    """The kind of index for a column of such values; None if there is none."""
    if pa.types.is_boolean(values):
        return "bitmap"
    is_ordered = pa.types.is_integer(values) or pa.types.is_floating(values) or pa.types.is_temporal(values)
    return "btree" if is_ordered or pa.types.is_string(values) or pa.types.is_large_string(values) else None


def build_value_index(uri: TableUri, column: str, kind: str) -> None:
    """Builds an index of that kind on a column, over all rows.

    Raises:
        TableError: `MAX_ATTEMPTS` builds in a row were overtaken.
    """

    def change(table: Table) -> None:
        names = {index.name for index in value_indexes(table)}
        name = f"{column}_idx" if f"{column}_idx" not in names else f"{column}_{kind}_idx"
        commit_by_lance(table, lambda: table.lance.create_scalar_index(column, _LANCE_S[kind], name=name))

    until_landed(uri, change)
