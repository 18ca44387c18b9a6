"""What a table is made of: files that are there and whole, columns of the contract, indexes that cover all rows."""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from pipeline import schema, table
from pipeline.schema import VectorDtype
from pipeline.table import Table, TableUri
from pipeline.verify.problem import EXAMPLES, Problem, Repaired


def check_schema(checked: Table) -> list[Problem]:
    """Every column of the contract is there, with its type. (That the identity is readable, opening has shown.)"""
    vector = checked.schema.field(schema.IMAGE_VECTOR).type if schema.IMAGE_VECTOR in checked.schema.names else None
    is_whole = vector is not None and pa.types.is_fixed_size_list(vector) and vector.value_type == pa.float32()
    dtype: VectorDtype = "float32" if is_whole else "float16"
    wrong = []
    for column in schema.table_schema(checked.identity, vectors=dtype):
        if column.name not in checked.schema.names:
            wrong.append(f"{column.name} is missing")
        elif (found := checked.schema.field(column.name).type) != column.type:
            wrong.append(f"{column.name} is {found}, not {column.type}")
    mend = "go back to a version that had them (lance.dataset(…, version=N).restore()), or embed into another table"
    return [Problem("schema", len(wrong), tuple(wrong[:EXAMPLES]), mend)] if wrong else []


def check_files(checked: Table) -> list[Problem]:
    """Every file of every fragment is there, as long as it was written."""
    lost = table.lost_files(checked)
    if not lost:
        return []
    faults = [fault for faults in lost.values() for fault in faults]
    return [
        Problem(
            "files",
            len(lost),
            tuple(faults[:EXAMPLES]),
            "put the files back; or --repair takes their fragments out of the table, whose rows the embed command then "
            "embeds again (of rows that were removed by hand, the removal is lost)",
            partial(_drop, checked.uri, list(lost)),
        )
    ]


def check_indexes(checked: Table) -> list[Problem]:
    """Every index covers all rows."""
    lagging = [index for index in table.list_indexes(checked) if index.rows_without]
    if not lagging:
        return []
    return [
        Problem(
            "indexes",
            len(lagging),
            tuple(f"{index.name}: {index.rows_without} rows not in it" for index in lagging[:EXAMPLES]),
            "--repair brings them up to date",
            partial(_update, checked.uri),
        )
    ]


def _drop(uri: TableUri, fragments: list[int]) -> Repaired:
    rows = table.drop_fragments(uri, fragments)
    return Repaired(f"fragments taken out: {len(fragments)}; rows in them: {rows}", to_embed=rows)


def _update(uri: TableUri) -> Repaired:
    table.update_indexes(uri)
    return Repaired("brought the indexes up to date")
