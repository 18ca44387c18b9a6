"""Parquet files with a column of image bytes and one of captions. A row is a sample.

A large file is cut by bytes: a part reads the row groups that begin within it, so planning needs no footer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InputError
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions
from pipeline.storage import File, Listing

BYTES_PER_PART = 64 << 20
ROWS_PER_READ = 256
DEFAULT_CAPTION_COLUMNS = ("caption", "text")
DEFAULT_KEPT_COLUMNS = ("url", "key", "sha256")


def claims(file: File) -> bool:
    return file.path.endswith((".parquet", ".pq"))


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    sources = [Source(file.path, file.uri, file.version, file.size) for file in listing.files if claims(file)]
    if not sources:
        raise InputError(f"input {options.input}: no .parquet file there; check --input and --input-format")
    columns = _schema(sources[0])
    _require(sources[0], columns, options)
    captioned = _caption_column(columns.names, options) is not None
    return [
        Chunk((source,), part, parts, captioned=captioned)
        for source in sources
        for parts in [max(1, math.ceil(source.size / BYTES_PER_PART))]
        for part in range(parts)
    ]


def kept_columns(chunks: Sequence[Chunk], options: SourceOptions) -> pa.Schema:
    columns = _schema(chunks[0].sources[0])
    return pa.schema([columns.field(name) for name in _kept_names(columns.names, options)])


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    with storage.open_file(source.uri) as handle:
        file = _open(source, handle)
        names = file.schema_arrow.names
        _require(source, file.schema_arrow, options)
        caption_column = _caption_column(names, options)
        kept = _kept_names(names, options)
        own = [name for name in (options.uid_col, "key", "original_width", "original_height") if name in names]
        columns = list(dict.fromkeys([options.image_col, *([caption_column] if caption_column else []), *own, *kept]))
        for row, record in _records(source, file, chunk, columns):
            if not chunk.is_done(source.path, row):
                yield _sample(source, row, file.metadata.num_rows, record, caption_column, kept, options)


def _records(source: Source, file: Any, chunk: Chunk, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row in the file, its columns) of the row groups that are this chunk's."""
    for group, row in _row_groups(file.metadata, chunk):
        try:
            for batch in file.iter_batches(ROWS_PER_READ, [group], columns):
                yield from enumerate(batch.to_pylist(), row)
                row += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{source.path}: row group {group}: {_reason(error)}; mend or remove the file") from error


def _sample(
    source: Source,
    row: int,
    rows: int,
    record: dict[str, Any],
    caption_column: str | None,
    kept: Sequence[str],
    options: SourceOptions,
) -> Sample:
    uid = record.get(options.uid_col)
    image = record[options.image_col]
    if isinstance(image, dict):  # as Hugging Face datasets write it: struct{bytes, path}
        image = image["bytes"]
    caption = record[caption_column] if caption_column else None
    reject = None
    if caption is not None and not isinstance(caption, str):
        caption, reject = (
            None,
            Reject("read", "bad-caption", f"a caption of type {type(caption).__name__}, not a text"),
        )
    return Sample(
        source,
        row,
        rows,
        key=str(row if record.get("key") is None else record["key"]),
        image=image,
        caption=caption,
        uid=uid if isinstance(uid, str) else None,
        width=record.get("original_width"),
        height=record.get("original_height"),
        kept={name: record[name] for name in kept},
        reject=reject,
    )


def _row_groups(metadata: Any, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """(row group, its first row in the file) of the groups that begin within the chunk's part of the bytes."""
    size = chunk.sources[0].size
    start, stop = (size * edge // chunk.parts for edge in (chunk.part, chunk.part + 1))
    first_row = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        column = group.column(0)
        begin = min(offset for offset in (column.dictionary_page_offset, column.data_page_offset) if offset is not None)
        if start <= begin < stop:
            yield index, first_row
        first_row += group.num_rows


def _open(source: Source, handle: Any) -> Any:
    try:
        return pq.ParquetFile(handle)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{source.path}: not readable as Parquet: {_reason(error)}; mend or remove the file"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0]


def _schema(source: Source) -> pa.Schema:
    with storage.open_file(source.uri) as handle:
        return _open(source, handle).schema_arrow


def _require(source: Source, columns: pa.Schema, options: SourceOptions) -> None:
    """Every column that the options name must be there, and the images must be bytes."""
    named = [("--image-col", options.image_col), ("--caption-col", options.caption_col)]
    named += [("--keep-cols", name) for name in options.keep_cols or ()]
    for flag, name in named:
        if name is not None and name not in columns.names:
            raise InputError(
                f"{source.path}: no column {name!r}; it has {', '.join(columns.names)}; name one with {flag}"
            )
    kind = columns.field(options.image_col).type
    if pa.types.is_struct(kind) and "bytes" in {field.name for field in kind}:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(
            f"{source.path}: column {options.image_col!r} holds {kind}, not image bytes; name one with --image-col"
        )


def _caption_column(names: Sequence[str], options: SourceOptions) -> str | None:
    if options.caption_col is not None:
        return options.caption_col
    return next((name for name in DEFAULT_CAPTION_COLUMNS if name in names), None)


def _kept_names(names: Sequence[str], options: SourceOptions) -> list[str]:
    if options.keep_cols is not None:
        return list(options.keep_cols)
    return [name for name in DEFAULT_KEPT_COLUMNS if name in names]
