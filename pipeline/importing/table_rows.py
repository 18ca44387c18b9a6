"""Turns imported rows into table rows: scales vectors to unit length, and rejects vectors without a direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.importing.image_ids import ImageIds
from pipeline.importing.options import ImportOptions
from pipeline.importing.parts import Part, Vectors
from pipeline.sources import captions, columns, records
from pipeline.vectors import to_column

DEFAULT_CAPTIONS = ("caption", "text", "txt", "TEXT")


def columns_of_rows(options: ImportOptions, ids: ImageIds | None) -> set[str]:
    """The columns that `table_rows` reads from a batch, if present."""
    names = {options.uid_col, *_caption_columns(options), records.KEY, *records.SIZES, *options.keep_cols}
    return names if ids is None else names | {ids.column}


def table_rows(
    part: Part,
    start: int,
    total: int,
    batch: pa.RecordBatch,
    vectors: tuple[Vectors, Vectors | None],
    options: ImportOptions,
    ids: ImageIds | None,
    wanted: pa.Schema,
) -> pa.Table:
    """A batch of a part's rows, from row `start` on, in the schema `wanted`.

    A row is rejected if one of its vectors has no direction, or if its caption is too long.
    """
    image, text = vectors
    found = {name: columns.values(batch[name]) for name in batch.schema.names}
    texts = _texts(found, _caption_columns(options), len(batch))
    sizes = [0 if caption is None else len(caption.encode()) for caption in texts]
    keys = _texts(found, [records.KEY], len(batch))
    reasons = [
        _reason(image, row) or (_reason(text, row) if text is not None else None) or _too_long(size)
        for row, size in enumerate(sizes)
    ]
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
        schema.CAPTION: [None if _too_long(size) else caption for caption, size in zip(texts, sizes, strict=True)],
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
    if ids is not None and ids.column in found:
        values[schema.IMAGE_IDENTITY] = ids.identities(found[ids.column])
    for name in options.keep_cols:
        if name in found and schema.kept_name(name) in wanted.names:
            kind = wanted.field(schema.kept_name(name)).type
            is_same = batch[name].type == kind
            values[schema.kept_name(name)] = batch[name] if is_same else [records.fitting(v, kind) for v in found[name]]
    empty = {field.name: pa.nulls(len(batch), field.type) for field in wanted if field.name not in values}
    arrays = [_of_type((values | empty)[field.name], field.type) for field in wanted]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _of_type(values: Any, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind) if isinstance(values, list) else values.cast(kind)


def _caption_columns(options: ImportOptions) -> Sequence[str]:
    return [options.caption_col] if options.caption_col else DEFAULT_CAPTIONS


def _texts(found: dict[str, list[Any]], names: Sequence[str], count: int) -> list[str | None]:
    for name in names:
        if name in found:
            return [None if value is None else str(records.escaped(value)) for value in found[name]]
    return [None] * count


def _reason(vectors: Vectors, row: int) -> tuple[str, str] | None:
    """(reason, message) for a vector without a direction."""
    if not vectors.shape[1] or not np.isfinite(vectors[row]).all():
        return "bad-vector", "the vector is null, or contains NaN or infinity"
    return None if np.any(vectors[row]) else ("bad-vector", "the vector is all zeros")


def _too_long(size: int) -> tuple[str, str] | None:
    """(reason, message) for a caption with too many bytes."""
    if size <= captions.MAX_BYTES:
        return None
    return "caption-too-long", f"a caption of {size} bytes, more than the limit of {captions.MAX_BYTES}"


def _column(vectors: Vectors, is_good: npt.NDArray[np.bool_], kind: pa.DataType) -> pa.Array:
    """Vectors scaled to unit length; null for rejected rows."""
    full = np.zeros((len(vectors), kind.list_size), np.float32)
    if is_good.any():  # otherwise all vectors are null, and may have dimension 0
        lengths = np.linalg.norm(vectors[is_good].astype(np.float64), axis=1, keepdims=True)
        full[is_good] = vectors[is_good] / lengths
    return to_column(full, ~is_good, kind)
