"""Writes new columns of a fragment to a file of their own, beside the fragment's other files.

Lance's own `update_columns` finds each row's place by a hash join. That takes longer than reading the vectors and
computing with them. Here rows are placed by their addresses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from lance.file import LanceFileWriter
from lance.fragment import DataFile, FragmentMetadata

from pipeline.fileformats.row_address import ROW_ADDRESS, places_of
from pipeline.table.store import Table

FragmentUpdate = tuple[FragmentMetadata, list[int]]
"""a fragment's new metadata, and the ids of the changed fields"""

_NO_FIELD = -2
"""Lance's mark, in a file's list of fields, for a field that another file holds now"""


def write_columns(table: Table, fragment: Any, values: pa.Table) -> FragmentUpdate:
    """Writes the columns of `values` anew for a complete fragment.

    Rows at the `_rowaddr` of `values` get the new values. All other rows keep theirs. The table must have the columns,
    of numbers, booleans or strings.
    """
    columns = pa.schema([table.schema.field(name) for name in values.column_names if name != ROW_ADDRESS])
    rows = _all_rows(fragment, values, columns)
    name = f"{uuid4().hex}.lance"
    version = table.lance.data_storage_version
    with LanceFileWriter(
        f"{table.uri.dataset}/data/{name}", columns, version=version, storage_options=table.uri.storage_options
    ) as writer:
        writer.write_batch(rows)
    ids = {field.name(): field.id() for field in table.lance.lance_schema.fields()}
    changed = [ids[column] for column in columns.names]
    major, minor = map(int, version.split("."))
    new = DataFile(name, changed, list(range(len(changed))), major, minor, writer.size_bytes)
    return replace(fragment.metadata, files=[*_without(fragment.metadata.files, changed), new]), changed


def _all_rows(fragment: Any, values: pa.Table, columns: pa.Schema) -> pa.Table:
    """Every row of the fragment in file order, deleted rows included."""
    count = fragment.metadata.physical_rows
    places = places_of(values[ROW_ADDRESS].to_numpy())
    values = values.select(columns.names).cast(columns)
    if len(places) == count and (np.diff(places) == 1).all():
        return values
    held = fragment.to_table(columns=columns.names, with_row_address=True)
    at = np.full(count, -1)
    at[places_of(held[ROW_ADDRESS].to_numpy())] = np.arange(len(held))
    at[places] = np.arange(len(held), len(held) + len(values))
    return pa.concat_tables([held.select(columns.names).cast(columns), values]).take(pa.array(at, mask=at < 0))


def _without(files: list[DataFile], fields: list[int]) -> list[DataFile]:
    left = [
        DataFile(
            file.path,
            [_NO_FIELD if field in fields else field for field in file.fields],
            file.column_indices,
            file.file_major_version,
            file.file_minor_version,
            file.file_size_bytes,
            file.base_id,
        )
        for file in files
    ]
    return [file for file in left if any(field != _NO_FIELD for field in file.fields)]
