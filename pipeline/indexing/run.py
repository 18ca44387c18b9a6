"""Builds the indexes of a table, or brings them up to date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline import schema, table
from pipeline.errors import UsageError
from pipeline.indexing.building import building
from pipeline.indexing.measuring import draw
from pipeline.indexing.vectors import Done, OnVectors, bring_up_to_date
from pipeline.table import Kind, Table, TableUri

DEFAULT_RECALL = 0.95
VECTORS = (schema.IMAGE_VECTOR, schema.TEXT_VECTOR)


@dataclass(frozen=True)
class OnValues:
    """What was done for a column of captions, or of values that conditions use."""

    done: Done
    column: str
    kind: str
    """full-text, btree or bitmap"""


def index_table(
    uri: TableUri, recall: float, kind: Kind | Literal["none"] | None, columns: Sequence[str]
) -> Iterator[OnVectors | OnValues]:
    """Brings the indexes of a table up to date, and builds those that are missing: on its vectors, its captions, and
    on `columns`. Other runs may change the table meanwhile.

    A column of vectors that allows no index of that kind, because few rows have one, is searched exactly.

    Raises:
        UsageError: the table has no such column, its values cannot be indexed, or no index of that kind can be built on
            any vectors.
        TableError: another run does this already.
    """
    opened = table.open_table(uri)
    kinds = {column: _kind_of_values(opened, column) for column in columns}
    on_vectors = [column for column in VECTORS if opened.any(f"{column} IS NOT NULL")]
    _require_possible(opened, on_vectors, kind)
    with building(uri):
        table.drop_impossible_indexes(uri)
        sample = draw(opened)
        for column in on_vectors:
            yield bring_up_to_date(uri, column, sample, recall, kind)
        if opened.any(f"{schema.CAPTION} IS NOT NULL"):
            yield _on_values(uri, schema.CAPTION, "full-text")
        for column, of_values in kinds.items():
            yield _on_values(uri, column, of_values)


def update_indexes(uri: TableUri) -> Iterator[OnVectors | OnValues]:
    """Adds new rows to all indexes that a table has, also those that other programs have made. Builds none that is
    missing. For a run that has the lease `table.BUILDING`."""
    table.drop_impossible_indexes(uri)
    opened = table.open_table(uri)
    on_vectors = [column for column in VECTORS if table.vector_index(opened, column) is not None]
    sample = draw(opened) if on_vectors else None
    for column in on_vectors:
        assert sample is not None
        record = table.read_index_records(opened).get(column)
        recall = DEFAULT_RECALL if record is None else record.wanted_recall
        yield bring_up_to_date(uri, column, sample, recall, None)
    for index in table.value_indexes(opened):
        yield _on_values(uri, index.column, index.kind)


def _on_values(uri: TableUri, column: str, kind: str) -> OnValues:
    opened = table.open_table(uri)
    for index in table.value_indexes(opened):
        if (index.column, index.kind) == (column, kind):
            if not index.rows_without:
                return OnValues("kept", column, kind)
            table.update_index(uri, index.name)
            return OnValues("updated", column, kind)
    table.build_value_index(uri, column, kind)
    return OnValues("built", column, kind)


def _require_possible(opened: Table, columns: Sequence[str], kind: Kind | Literal["none"] | None) -> None:
    if kind in (None, "none"):
        return
    why = [table.why_no_index(opened, column, kind) for column in columns]
    if why and None not in why:
        raise UsageError(f"table {opened.uri}: {why[0]}; choose another --kind, such as ivf_flat")


def _kind_of_values(opened: Table, column: str) -> str:
    if column not in opened.schema.names:
        raise UsageError(f"table {opened.uri}: no column {column!r}; choose from {', '.join(opened.schema.names)}")
    kind = table.kind_for(opened.schema.field(column).type)
    if kind is None:
        raise UsageError(
            f"table {opened.uri}: column {column!r} of {opened.schema.field(column).type} cannot be indexed for "
            "conditions; name a column of numbers, strings, dates or truth values"
        )
    return kind
