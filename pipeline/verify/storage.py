"""Checks the parts of a table: complete files, all columns of the contract, and indexes that cover all rows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import pyarrow as pa

from pipeline import schema, table
from pipeline.schema import VectorDtype
from pipeline.table import Table, TableUri
from pipeline.verify.problem import EXAMPLES, Problem, Repaired
from pipeline.wording import counted

_DROP = (
    "use --repair, which drops their fragments from the table; the embed command then embeds their rows again, "
    "including rows that were removed with siglane remove"
)


def check_schema(checked: Table) -> list[Problem]:
    """Every column of the contract exists, with its type. (Opening the table has checked its identity.)"""
    vector = checked.schema.field(schema.IMAGE_VECTOR).type if schema.IMAGE_VECTOR in checked.schema.names else None
    is_float32 = vector is not None and pa.types.is_fixed_size_list(vector) and vector.value_type == pa.float32()
    dtype: VectorDtype = "float32" if is_float32 else "float16"
    wrong = []
    for column in schema.table_schema(checked.identity, vectors=dtype):
        if column.name not in checked.schema.names:
            wrong.append(f"{column.name} is missing")
        elif (found := checked.schema.field(column.name).type) != column.type:
            wrong.append(f"{column.name} is {found}, not {column.type}")
    fix = "restore a version that had them (lance.dataset(…, version=N).restore()), or embed into another table"
    return [Problem("schema", len(wrong), tuple(wrong[:EXAMPLES]), fix)] if wrong else []


def check_nullable(checked: Table) -> list[Problem]:
    """New rows can be null in every column that another program has added."""
    ours = [column.name for column in schema.table_schema(checked.identity)]
    names = table.columns_without_nulls(checked, ours)
    if not names:
        return []
    fix = "--repair lets them hold nulls: until then no row can be added or removed"
    return [Problem("nullable-columns", len(names), tuple(names[:EXAMPLES]), fix, partial(_allow, checked.uri, names))]


def check_files(checked: Table) -> list[Problem]:
    """Every file of every fragment exists, with its original size."""
    lost = table.lost_files(checked)
    if not lost:
        return []
    faults = [fault for faults in lost.values() for fault in faults]
    fix = f"restore the files; or {_DROP}"
    return [Problem("files", len(lost), tuple(faults[:EXAMPLES]), fix, partial(_drop, checked.uri, table.lost_files))]


def check_readable(checked: Table) -> list[Problem]:
    """Every fragment can be read. Reads the complete table, so call it only after a read has failed."""
    found = table.unreadable_fragments(checked)
    if not found:
        return []
    fix = f"restore an undamaged copy of the files; or {_DROP}"
    again = partial(table.unreadable_fragments, numbers=found.keys())
    examples = tuple(list(found.values())[:EXAMPLES])
    return [Problem("readable", len(found), examples, fix, partial(_drop, checked.uri, again))]


def check_indexes(checked: Table) -> list[Problem]:
    """Every index covers all rows."""
    lost = table.lost_indexes(checked)
    lagging = [index for index in table.list_indexes(checked, but=lost) if index.rows_without]
    problems = []
    if lost:
        examples = tuple(f"{name}: some of its files are missing" for name in lost[:EXAMPLES])
        fix = "restore the files; or use --repair, which drops these indexes, then build those you need again"
        problems.append(Problem("indexes", len(lost), examples, fix, partial(_drop_indexes, checked.uri, lost)))
    if lagging:
        examples = tuple(f"{index.name}: lacks {counted(index.rows_without, 'row')}" for index in lagging[:EXAMPLES])
        fix = "--repair brings them up to date"
        problems.append(Problem("indexes", len(lagging), examples, fix, partial(_update, checked.uri)))
    return problems


def _drop(uri: TableUri, find: Callable[[Table], Collection[int]]) -> Repaired:
    fragments, rows = table.drop_fragments(uri, find)
    return Repaired(f"fragments dropped: {fragments}; rows in them: {rows}", to_embed=rows)


def _allow(uri: TableUri, names: list[str]) -> Repaired:
    table.allow_nulls(uri, names)
    return Repaired(f"columns that may hold nulls now: {', '.join(names)}")


def _drop_indexes(uri: TableUri, names: list[str]) -> Repaired:
    table.drop_indexes(uri, names)
    return Repaired(f"indexes dropped: {', '.join(names)}")


def _update(uri: TableUri) -> Repaired:
    table.update_indexes(uri)
    return Repaired("indexes brought up to date")
