"""Tables of vectors that no model made: for tests of what happens to a table afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import schema, scoring, table
from pipeline.schema import Identity
from pipeline.table import Committer, TableUri

FRAGMENTS = 3
SOURCES = ("a.parquet", "b.parquet")


def uids(count: int) -> list[str]:
    """The uids that `write_table` gives: in another order than the rows', as hashes are."""
    return [f"{number:032x}" for number in np.random.default_rng(count).permutation(count)]


def places(count: int) -> list[tuple[str, int]]:
    """(source, source_row) that `write_table` gives, rising with the row; `key` is the row's number."""
    first = -(-count // len(SOURCES))
    return [(SOURCES[row // first], row % first) for row in range(count)]


def write_table(path: Path, image_ND: np.ndarray, text_ND: np.ndarray, **more: Any) -> Path:
    """A scored table of these vectors. `more`: further columns or other values.

    As real tables it has rows of several sources, in fragments that do not lie in the order of the input, and uids in
    no order at all.
    """
    count, dimension = image_ND.shape
    identity = Identity("w" * 64, "hf-bicubic-aa.v1@32", None, "float32", dimension, "a-model", 10.0, -10.0)
    values: dict[str, Any] = {
        schema.UID: uids(count),
        schema.KEY: [str(row) for row in range(count)],
        schema.SOURCE: [source for source, _ in places(count)],
        schema.SOURCE_VERSION: ["1"] * count,
        schema.SOURCE_ROW: [row for _, row in places(count)],
        schema.CAPTION: [f"caption {row}" for row in range(count)],
        schema.IMAGE_SHA256: [f"{row:064x}" for row in range(count)],
        schema.STATUS: [schema.SUCCESS] * count,
        schema.IMAGE_VECTOR: _vectors(image_ND),
        schema.TEXT_VECTOR: _vectors(text_ND),
    }
    values |= more
    contract = schema.table_schema(identity)
    kept = pa.schema([pa.field(name, pa.array(more[name]).type) for name in more if name not in contract.names])
    columns = schema.table_schema(identity, kept)
    rows = pa.table(
        {name: values.get(name, pa.nulls(count, columns.field(name).type)) for name in columns.names}, schema=columns
    )
    uri = table.parse(str(path))
    most = max(1, -(-count // FRAGMENTS))
    parts = [rows.slice(start, most) for start in range(0, count, most)]
    Committer(uri, columns, None).commit([table.stage(uri, part) for part in [*parts[1:], *parts[:1]]])
    list(scoring.score_table(uri))
    return path


def in_fragments(embedded: Path, path: Path, rows: int) -> TableUri:
    """A table of the same rows as another one, so many in each fragment."""
    whole = table.open_table(table.parse(str(embedded)))
    read = pa.Table.from_batches(whole.scan(whole.schema.names, None), whole.schema)
    uri = table.parse(str(path))
    parts = [read.slice(start, rows) for start in range(0, len(read), rows)]
    Committer(uri, read.schema, None).commit([table.stage(uri, part) for part in parts])
    return uri


def cosines_as(cosines: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of two numbers whose pairs have these cosines, to within float16."""
    angle = np.arccos(np.array(cosines))
    return np.tile([1.0, 0.0], (len(angle), 1)), np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _vectors(vectors_ND: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors_ND.astype(np.float16).ravel()), vectors_ND.shape[1])
