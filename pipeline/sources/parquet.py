"""Parquet files with a column of image bytes and one of captions. A row is a sample.

A large file is cut by bytes: a part reads the row groups that begin within it, so planning needs no footer.

The first file decides which columns the input has; a file that differs in what is read of it is refused by name. Text
may be any of Arrow's text types, plain or dictionary-encoded, and so may bytes: they are kept as `string` and `binary`.

One odd value ends no run: a caption that is not UTF-8 rejects its row; in a key or a kept text, bytes that are not
UTF-8 are escaped (`\\xff`); a kept value that Python cannot hold is null (a date after the year 9999, a list that holds
such a text); an original size that is not a positive int32 counts as not stated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import img2dataset, storage
from pipeline.errors import InputError
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions
from pipeline.storage import File, Listing

CONTENT = frozenset(["Parquet"])
SUFFIXES = (".parquet", ".pq")
BYTES_PER_PART = 64 << 20
ROWS_PER_READ = 256
BYTES_PER_READ = 64 << 20
"""about what one batch of rows may hold"""
DEFAULT_CAPTION_COLUMNS = ("caption", "text")
DEFAULT_UID_COLUMN = "uid"
DEFAULT_KEPT_COLUMNS = ("url", "key", "sha256")
KEY_COLUMN = "key"
SIZE_COLUMNS = ("original_width", "original_height")
MAX_INT32 = 2**31 - 1


def claims(listing: Listing) -> Sequence[File]:
    logs = {file.path for file in img2dataset.logs(listing).values()}
    return [file for file in listing.files if file.path.endswith(SUFFIXES) and file.path not in logs]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    sources = [Source(file.path, file.uri, file.version, file.size) for file in claims(listing) or listing.files]
    with storage.open_file(sources[0].uri) as handle:
        found = _open(sources[0], handle).schema_arrow
    columns = _columns(sources[0], found, options)
    kept = pa.schema([pa.field(name, _plain(found.field(name).type)) for name in columns.kept])
    return [
        Chunk((source,), part, parts, captioned=columns.caption is not None, kept=kept)
        for source in sources
        for parts in [max(1, math.ceil(source.size / BYTES_PER_PART))]
        for part in range(parts)
    ]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    with storage.open_file(source.uri) as handle:
        file = _open(source, handle)
        columns = _columns(source, file.schema_arrow, options)
        _require_as_planned(source, file.schema_arrow, columns, chunk)
        for row, record in _records(source, file, chunk, columns):
            if not chunk.is_done(source.path, row):
                yield _sample(source, row, file.metadata.num_rows, record, columns, chunk.kept)


@dataclass(frozen=True)
class _Columns:
    """Which columns of a file are read, and as what; None where the file has none of that kind."""

    image: str
    image_leaf: str
    """what to read for the image: of a struct only its bytes"""
    caption: str | None
    uid: str | None
    kept: tuple[str, ...]
    own: tuple[str, ...]
    """of `key` and the original sizes, those that are there"""

    def read(self) -> list[str]:
        named = [name for name in (self.caption, self.uid) if name is not None]
        return list(dict.fromkeys([self.image_leaf, *named, *self.own, *self.kept]))


def _columns(source: Source, found: pa.Schema, options: SourceOptions) -> _Columns:
    """Chooses a file's columns.

    Raises:
        InputError: one that the options name is not there, stands there twice, or holds something else.
    """
    names = found.names
    default_kept = [name for name in DEFAULT_KEPT_COLUMNS if name in names]
    default_caption = next((name for name in DEFAULT_CAPTION_COLUMNS if name in names), None)
    columns = _Columns(
        image=options.image_col,
        image_leaf=options.image_col,
        caption=options.caption_col or default_caption,
        uid=options.uid_col or (DEFAULT_UID_COLUMN if DEFAULT_UID_COLUMN in names else None),
        kept=tuple(default_kept if options.keep_cols is None else options.keep_cols),
        own=tuple(name for name in (KEY_COLUMN, *SIZE_COLUMNS) if name in names),
    )
    named = [("--image-col", columns.image), ("--caption-col", columns.caption), ("--uid-col", columns.uid)]
    for flag, name in [*named, *(("--keep-cols", name) for name in (*columns.kept, *columns.own))]:
        if name is not None:
            _require(source, names, flag, name)
    kind = _plain(found.field(columns.image).type)
    if pa.types.is_struct(kind) and "bytes" in {field.name for field in kind}:  # as Hugging Face datasets write it
        columns = replace(columns, image_leaf=f"{columns.image}.bytes")
        kind = _plain(kind.field("bytes").type)
    if not pa.types.is_binary(kind):
        raise InputError(
            f"{source.path}: column {columns.image!r} holds {kind}, not image bytes; name one with --image-col"
        )
    if columns.caption is not None:
        _require_text(source, found.field(columns.caption))
    return columns


def _require(source: Source, names: Sequence[str], flag: str, name: str) -> None:
    if name not in names:
        raise InputError(f"{source.path}: no column {name!r}; it has {', '.join(names)}; name one with {flag}")
    if names.count(name) > 1:
        raise InputError(f"{source.path}: {names.count(name)} columns are called {name!r}; rename all but one of them")


def _require_text(source: Source, column: pa.Field) -> None:
    kind = _plain(column.type)
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind)):
        raise InputError(
            f"{source.path}: column {column.name!r} holds {kind}, not captions; name one with --caption-col"
        )


def _require_as_planned(source: Source, found: pa.Schema, columns: _Columns, chunk: Chunk) -> None:
    """A file must have what the first one has, of the same types. A column of nulls alone fits any type.

    Raises:
        InputError: it differs.
    """
    if chunk.captioned != (columns.caption is not None):
        wanted = " or ".join(repr(name) for name in DEFAULT_CAPTION_COLUMNS)
        differs = f"no column {wanted}, which" if chunk.captioned else f"a column {columns.caption!r}, which not"
        raise InputError(
            f"{source.path}: {differs} the first file has; embed files with and without captions as inputs of their own"
        )
    for name in [*chunk.kept.names, *columns.kept]:
        if (name in chunk.kept.names) != (name in columns.kept):
            differs = f"a column {name!r}, which not" if name in columns.kept else f"no column {name!r}, which"
            raise InputError(f"{source.path}: {differs} the first file has; name the columns of all with --keep-cols")
        here, planned = _plain(found.field(name).type), chunk.kept.field(name).type
        if here != planned and not pa.types.is_null(here):
            raise InputError(
                f"{source.path}: column {name!r} holds {here} and in the first file {planned}; "
                "rewrite one of them, or leave the column out with --keep-cols"
            )


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without its encoding: `string` for every text, `binary` for every type of bytes."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return pa.binary()
    return kind


def _records(source: Source, file: Any, chunk: Chunk, columns: _Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row in the file, its columns) of the chunk's row groups that have a row left to do."""
    for group, row in _row_groups(file.metadata, chunk):
        rows = file.metadata.row_group(group).num_rows
        if not chunk.is_done(source.path, row, row + rows):
            for batch in _batches(source, file, group, columns.read()):
                values = [_values(column) for column in batch.columns]
                records = (dict(zip(batch.schema.names, record, strict=True)) for record in zip(*values, strict=True))
                yield from enumerate(records, row)
                row += batch.num_rows


def _batches(source: Source, file: Any, group: int, names: list[str]) -> Iterator[pa.RecordBatch]:
    metadata = file.metadata.row_group(group)
    fitting = BYTES_PER_READ * metadata.num_rows // max(1, metadata.total_byte_size)
    try:
        yield from file.iter_batches(min(max(1, fitting), ROWS_PER_READ), [group], names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InputError(f"{source.path}: row group {group}: {_reason(error)}; mend or remove the file") from error


def _row_groups(metadata: Any, chunk: Chunk) -> Iterator[tuple[int, int]]:
    """(row group, its first row in the file) of the groups that begin within the chunk's part of the bytes."""
    size = chunk.sources[0].size
    start, stop = (size * edge // chunk.parts for edge in (chunk.part, chunk.part + 1))
    first_row = 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        column = group.column(0)
        begin = min(offset for offset in (column.dictionary_page_offset, column.data_page_offset) if offset is not None)
        # a file that has grown since it was listed must lose no group
        if group.num_rows and start <= min(begin, size - 1) < stop:
            yield index, first_row
        first_row += group.num_rows


def _values(column: pa.Array) -> list[Any]:
    """A column's values. A text that is not UTF-8 comes as bytes; what Python cannot hold, as None."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: pa.Scalar) -> Any:
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.value
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return scalar.as_buffer().to_pybytes() if pa.types.is_string(_plain(scalar.type)) else None


def _sample(source: Source, row: int, rows: int, record: dict[str, Any], columns: _Columns, kept: pa.Schema) -> Sample:
    image = record[columns.image]
    caption, reject = _caption(record[columns.caption] if columns.caption is not None else None)
    key = record.get(KEY_COLUMN)
    uid = record[columns.uid] if columns.uid is not None else None
    width, height = (_pixels(record.get(name)) for name in SIZE_COLUMNS)
    return Sample(
        source,
        row,
        rows,
        key=str(row if key is None else _escaped(key)),
        key_may_repeat=key is not None,
        image=image["bytes"] if isinstance(image, dict) else image,
        caption=caption,
        uid=uid if isinstance(uid, str) else None,
        width=width,
        height=height,
        kept={field.name: _kept(record[field.name], field.type) for field in kept},
        reject=reject,
    )


def _caption(value: str | bytes | None) -> tuple[str | None, Reject | None]:
    if not isinstance(value, bytes):
        return value, None
    try:
        return value.decode(), None
    except UnicodeDecodeError as error:
        return None, Reject("read", "bad-caption", str(error))


def _pixels(value: Any) -> int | None:
    """A side of an image as its source states it; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 1 <= value <= MAX_INT32 and value == int(value) else None


def _kept(value: Any, kind: pa.DataType) -> Any:
    return _escaped(value) if pa.types.is_string(kind) else value


def _escaped(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _open(source: Source, handle: Any) -> Any:
    try:
        return pq.ParquetFile(handle)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            f"{source.path}: not readable as Parquet: {_reason(error)}; mend or remove the file"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0]
