"""Rows of an import as rows of the table: vectors of unit length, and a reject where one has no direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import columns, records, schema
from pipeline.importing.options import ImportOptions
from pipeline.importing.parts import Part, Vectors


def table_rows(
    part: Part,
    start: int,
    total: int,
    batch: pa.RecordBatch,
    vectors: tuple[Vectors, Vectors | None],
    options: ImportOptions,
    wanted: pa.Schema,
) -> pa.Table:
    """Rows `start`, … of a part in the schema `wanted`; a row is rejected where a vector of it has no direction."""
    image, text = vectors
    found = {name: columns.values(batch[name]) for name in batch.schema.names}
    captions = _texts(found, [options.caption_col] if options.caption_col else columns.DEFAULT_CAPTION, len(batch))
    keys = _texts(found, [records.KEY], len(batch))
    reasons = [_reason(image, row) or (_reason(text, row) if text is not None else None) for row in range(len(batch))]
    is_good = np.array([reason is None for reason in reasons])
    uids = found.get(options.uid_col, [None] * len(batch))
    numbers = range(start, start + len(batch))
    values: dict[str, Any] = {
        schema.UID: [
            schema.make_uid(part.rows.path, f"{key}\0{row}", own if isinstance(own, str) else None)
            for key, row, own in zip(keys, numbers, uids, strict=True)
        ],
        schema.KEY: [str(row) if key is None else key for key, row in zip(keys, numbers, strict=True)],
        schema.SOURCE: [part.rows.path] * len(batch),
        schema.SOURCE_VERSION: [part.version] * len(batch),
        schema.SOURCE_ROW: list(numbers),
        schema.SOURCE_ROWS: [total] * len(batch),
        schema.CAPTION: captions,
        **{
            name: [records.pixels(value) for value in found[name]]
            for name in (schema.ORIGINAL_WIDTH, schema.ORIGINAL_HEIGHT)
            if name in found
        },
        schema.STATUS: [schema.SUCCESS if good else schema.REJECTED for good in is_good],
        schema.STAGE: [None if good else "import" for good in is_good],
        schema.REASON: [reason and reason[0] for reason in reasons],
        schema.ERROR_MESSAGE: [reason and reason[1] for reason in reasons],
        schema.IMAGE_VECTOR: _column(image, is_good, wanted.field(schema.IMAGE_VECTOR).type),
    }
    if text is not None:
        values[schema.TEXT_VECTOR] = _column(text, is_good, wanted.field(schema.TEXT_VECTOR).type)
    for name in options.keep_cols:
        if name in found:
            values[schema.kept_name(name)] = batch[name]
    empty = {field.name: pa.nulls(len(batch), field.type) for field in wanted if field.name not in values}
    arrays = [_of_type((values | empty)[field.name], field.type) for field in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _of_type(values: Any, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind) if isinstance(values, list) else values.cast(kind)


def _texts(found: dict[str, list[Any]], names: Any, count: int) -> list[str | None]:
    for name in names:
        if name in found:
            return [None if value is None else str(records.escaped(value)) for value in found[name]]
    return [None] * count


def _reason(vectors: Vectors, row: int) -> tuple[str, str] | None:
    """(reason, message) of a vector that has no direction."""
    if not vectors.shape[1] or not np.isfinite(vectors[row]).all():
        return "bad-vector", "the vector is null, or holds NaN or infinity"
    return None if np.any(vectors[row]) else ("bad-vector", "the vector is all zeros")


def _column(vectors: Vectors, is_good: npt.NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Vectors of unit length, null where a row is rejected."""
    full = np.zeros((len(vectors), kind.list_size), np.float32)
    if is_good.any():  # else the vectors, all null, may have no length at all
        lengths = np.linalg.norm(vectors[is_good].astype(np.float64), axis=1, keepdims=True)
        full[is_good] = vectors[is_good] / lengths
    numbers = full.astype(kind.value_type.to_pandas_dtype())
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), kind.list_size, mask=pa.array(~is_good))
