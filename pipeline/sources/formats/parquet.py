"""Parquet files with a column of images (bytes, or URIs) and one of captions.

`pipeline.sources.columns` says which columns they are.

A large file is cut by bytes: a part reads the row groups that begin within it, so planning needs no footer.

The first file decides which columns are kept and whether the input has captions. What a later one lacks is null there;
one that has no images, or numbers in place of captions, is rejected row by row (`bad-parquet`). Text may be any of
Arrow's text types, plain or dictionary-encoded, and so may bytes: they are kept as `string` and `binary`.

One odd value ends no run: a caption that is not UTF-8 rejects its row; in a key or a kept text, bytes that are not
UTF-8 are escaped (`\\xff`); a kept value that Python cannot hold is null (a date after the year 9999, a list that holds
such a text); an original size that is not a positive int32 counts as not stated.

Nor does a broken file (`bad-parquet`): what cannot be read of a row group, or would unpack to far more than an image
column ever does, are rejected rows by number; a later file that is no Parquet at all is one rejected row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import parquet_pages, sniff
from pipeline.sample import Chunk, Reject, Sample, Source, Stretch
from pipeline.sources import SourceOptions, columns, fetch, img2dataset, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT = frozenset(["Parquet", "encrypted Parquet"])
SUFFIXES = (".parquet", ".pq")
BYTES_PER_PART = 64 << 20
ROWS_PER_READ = 256
BYTES_PER_READ = 64 << 20
"""about what one batch of rows may hold"""
MAX_RATIO = 100
"""Photos and captions hardly shrink. Columns that unpack to more than this, and to more than MAX_SMALL, are a bomb."""
MAX_SMALL = 256 << 20
MAX_ROWS_PER_BYTE = 64
MAX_FEW_ROWS = 1_000_000
"""what a file may say it holds, however small it is"""

# Arrow's errors on a file's bytes. What a store raises while they are fetched is told apart by `_Watched`.
# Memory runs out where a page unpacks to more than the reading process may take, whatever the footer says of it.
FORMAT_ERRORS = (pa.ArrowException, OSError, ValueError, MemoryError)


def claims(listing: Listing) -> Sequence[File]:
    logs = {file.path for file in img2dataset.logs(listing).values()}
    return [file for file in listing.files if file.path.endswith(SUFFIXES) and file.path not in logs]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    sources = [Source(file.path, file.uri, file.version, file.size) for file in claims(listing) or listing.files]
    with storage.open_file(sources[0].uri) as handle:
        try:
            found = _open(handle).schema
        except _BadParquetError as error:
            raise InputError(
                f"{sources[0].path}: not readable as Parquet: looks like {sniff.of_file(sources[0].uri)}: {error}; "
                "mend or remove the file"
            ) from error
    chosen = columns.choose(sources[0], found, options.wanted())
    kept = columns.kept_schema(found, chosen)
    return [
        Chunk((source,), part, parts, captioned=chosen.caption is not None, kept=kept)
        for source in sources
        for parts in [max(1, math.ceil(source.size / BYTES_PER_PART))]
        for part in range(parts)
    ]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    with storage.open_file(source.uri) as handle:
        chunk.reading(Stretch(source, 0, 1 if chunk.part == 0 else 0, 1, is_all=True))
        try:
            opened = _open(handle)
        except _BadParquetError as error:
            yield from _unreadable(chunk, error)
            return
        try:
            chosen = columns.choose(source, opened.schema, options.wanted(), chunk.kept)
            groups = _row_groups(opened.file, chosen, source.size)
        except InputError as error:
            yield from _unfit(chunk, opened.file.metadata.num_rows, str(error))
            return
        except _BadParquetError as error:
            yield from _unreadable(chunk, error)
            return
        reader = _Reader(source, opened, chunk, chosen, sum(group.samples for group in groups))
        found = (pair for group in groups if _is_in_part(group, chunk) for pair in reader.samples(group))
        if chosen.is_uri and chunk.with_images:
            yield from fetch.fetched(found, options.allow_uri)
        else:
            yield from (sample for sample, _ in found)


def _unreadable(chunk: Chunk, error: _BadParquetError) -> Iterator[Sample]:
    """The row that stands for a file of which nothing can be read."""
    (source,) = chunk.sources
    if chunk.part == 0 and not chunk.is_done(source.path, 0):
        yield Sample(source, 0, 1, source.path, None, None, reject=_bad(source, str(error)))


def _unfit(chunk: Chunk, rows: int, message: str) -> Iterator[Sample]:
    """Each row of a file that has not what is to be read of it, as far as it can hold as many as it says."""
    (source,) = chunk.sources
    if chunk.part == 0:
        for row in range(rows if rows <= _most_rows(source.size) else 1):
            if not chunk.is_done(source.path, row):
                reject = Reject("read", "bad-parquet", records.escaped(message))
                yield Sample(source, row, rows, str(row), None, None, reject=reject)


class _BadParquetError(ValueError):
    """A file, or a part of one, that is not readable as Parquet."""


class _Watched:
    """A file that remembers what its store raised: Arrow hands that on mixed with its own errors.

    It also looks at the pages of each column chunk as it is read, before Arrow unpacks them.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._place = 0
        self.chunks: Sequence[tuple[int, int]] = ()
        """(first byte, bytes) of the column chunks that are about to be read"""
        self.raised: Exception | None = None

    def read(self, *size: int) -> bytes:
        data: bytes = self._watch("read", *size)
        for begin, length in self.chunks:
            start = begin - self._place
            if 0 <= start <= start + length <= len(data):
                self._look_at_pages(data[start : start + length])
        self._place += len(data)
        return data

    def seek(self, *place: int) -> int:
        self._place = self._watch("seek", *place)
        return self._place

    def _look_at_pages(self, chunk: bytes) -> None:
        unpacked = parquet_pages.unpacked_size(chunk)
        if _is_bomb(len(chunk), unpacked):
            self.raised = _BadParquetError(f"pages of {len(chunk)} bytes that unpack to {unpacked}: a bomb")
            raise self.raised

    def _watch(self, method: str, *arguments: int) -> Any:
        try:
            return getattr(self._handle, method)(*arguments)
        except Exception as error:
            self.raised = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def bad(self, error: Exception) -> Exception:
        """The error to raise for one of Arrow's: the store's, if there was one."""
        if isinstance(error, MemoryError):
            return _BadParquetError("takes more memory to read than --sample-gigabytes allows")
        lines = str(error).splitlines() or [type(error).__name__]
        return self.raised or _BadParquetError(lines[0])


@dataclass(frozen=True)
class _Opened:
    file: Any
    schema: pa.Schema
    watched: _Watched


@dataclass(frozen=True)
class _Group:
    """A row group, from the footer."""

    index: int
    begin: int
    """its first byte"""
    first_row: int
    rows: int
    first_sample: int
    samples: int
    packed: int
    """bytes of what is read of it"""
    unpacked: int
    chunks: Sequence[tuple[int, int]]
    """(first byte, bytes) of each column that is read"""


def _open(handle: Any) -> _Opened:
    watched = _Watched(handle)
    try:
        file = pq.ParquetFile(watched)
        return _Opened(file, file.schema_arrow, watched)
    except FORMAT_ERRORS as error:
        raise watched.bad(error) from error


def _row_groups(file: Any, chosen: Columns, size: int) -> list[_Group]:
    """What the footer says of the row groups.

    Raises:
        _BadParquetError: nothing that can be true.
    """
    leaves = _leaves(file, chosen)
    groups: list[_Group] = []
    row = sample = 0
    for index in range(file.metadata.num_row_groups):
        try:
            found = file.metadata.row_group(index)
            read = {path: found.column(place) for place, path in leaves.items()}
            chunks = [(_begin(column), column.total_compressed_size) for column in read.values()]
            # a list's leaf has a value for each element, and one where the list is empty
            many = [column.num_values for path, column in read.items() if _is_of(path, chosen.many)]
            samples = max([found.num_rows, *many])
            packed = sum(column.total_compressed_size for column in read.values())
            unpacked = sum(column.total_uncompressed_size for column in read.values())
        except FORMAT_ERRORS as error:
            raise _BadParquetError(f"row group {index}: {str(error).splitlines()[0]}") from error
        # a file that has grown since it was listed must lose no group
        begin = min(max(0, _begin(found.column(0))), size - 1)
        groups.append(_Group(index, begin, row, found.num_rows, sample, samples, packed, unpacked, chunks))
        row, sample = row + found.num_rows, sample + samples
        if found.num_rows < 0 or sample > _most_rows(size):
            raise _BadParquetError(f"row group {index}: says that it holds {samples} rows, in a file of {size} bytes")
    return groups


def _most_rows(size: int) -> int:
    """How many rows a file of so many bytes may hold."""
    return MAX_FEW_ROWS + MAX_ROWS_PER_BYTE * size


def _begin(column: Any) -> int:
    """The first byte of a column of a row group; some writers state a dictionary at byte 0 where there is none."""
    data, dictionary = column.data_page_offset, column.dictionary_page_offset or 0
    return int(dictionary if 0 < dictionary < data else data)


def _is_bomb(packed: int, unpacked: int) -> bool:
    return packed < 0 or unpacked > max(MAX_SMALL, MAX_RATIO * packed)


def _leaves(file: Any, chosen: Columns) -> dict[int, str]:
    """The places and paths of what is read: of images only their bytes, not what lies beside them in a struct."""
    paths = [file.schema.column(place).path for place in range(len(file.schema.names))]
    found = {place: path for place, path in enumerate(paths) if any(_is_of(path, name) for name in chosen.read())}
    if not columns.holds_structs(file.schema_arrow.field(chosen.image).type):
        return found
    return {p: path for p, path in found.items() if not _is_of(path, chosen.image) or path.endswith(".bytes")}


def _is_of(path: str, column: str | None) -> bool:
    """Whether a leaf belongs to a column, whose name may have dots in it."""
    return column is not None and (path == column or path.startswith(f"{column}."))


def _is_in_part(group: _Group, chunk: Chunk) -> bool:
    size = chunk.sources[0].size
    start, stop = (size * edge // chunk.parts for edge in (chunk.part, chunk.part + 1))
    return group.rows > 0 and start <= group.begin < stop


@dataclass(frozen=True)
class _Reader:
    """Reads the samples of row groups."""

    source: Source
    opened: _Opened
    chunk: Chunk
    columns: Columns
    rows: int
    """samples in the file"""

    def samples(self, group: _Group) -> Iterator[tuple[Sample, str | None]]:
        """(sample, the URI of its image if it is named by one) of a row group's rows that are left to do."""
        place, end = group.first_sample, group.first_sample + group.samples
        if self._is_done(place, end):
            return
        if not self.chunk.with_images:  # the footer numbers the samples
            left = (number for number in range(place, end) if not self._is_done(number))
            yield from ((Sample(self.source, number, self.rows, f"slot {number}", None, None), None) for number in left)
            return
        row = group.first_row
        self.chunk.reading(Stretch(self.source, place, end, self.rows))
        try:
            for record in self._records(group):
                where = f"{self.source.path} row {row}"
                for unit in columns.units(record, self.columns, where):
                    if place < end and not self._is_done(place):
                        sample = columns.sample(self.source, (place, self.rows, str(row)), record, unit, self.columns)
                        yield replace(sample, kept=self._kept(record)), unit.uri
                    place += 1
                row += 1
            problem = "holds less than the footer says"
        except _BadParquetError as error:
            problem = str(error)
        for lost in range(place, end):
            if not self._is_done(lost):
                reject = _bad(self.source, f"row group {group.index}: {problem}")
                yield Sample(self.source, lost, self.rows, f"slot {lost}", None, None, reject=reject), None

    def _is_done(self, place: int, stop: int | None = None) -> bool:
        return self.chunk.is_done(self.source.path, place, stop)

    def _records(self, group: _Group) -> Iterator[dict[str, Any]]:
        if _is_bomb(group.packed, group.unpacked):
            raise _BadParquetError(f"{group.packed} bytes that unpack to {group.unpacked}: a bomb")
        fitting = BYTES_PER_READ * group.rows // max(1, group.unpacked)
        names = list(_leaves(self.opened.file, self.columns).values())
        self.opened.watched.chunks = group.chunks
        try:
            for batch in self.opened.file.iter_batches(min(max(1, fitting), ROWS_PER_READ), [group.index], names):
                values = [columns.values(column) for column in batch.columns]
                for record in zip(*values, strict=True):
                    yield dict(zip(batch.schema.names, record, strict=True))
        except FORMAT_ERRORS as error:
            raise self.opened.watched.bad(error) from error

    def _kept(self, record: dict[str, Any]) -> dict[str, Any]:
        return {field.name: self._kept_value(field, record.get(field.name)) for field in self.chunk.kept}

    def _kept_value(self, field: pa.Field, value: Any) -> Any:
        if value is not None and columns.plain(self.opened.schema.field(field.name).type) != field.type:
            return records.fitting(value, field.type)
        return records.escaped(value) if pa.types.is_string(field.type) else value


def _bad(source: Source, message: str) -> Reject:
    return Reject("read", "bad-parquet", records.escaped(f"{source.path}: {message}; mend or remove the file"))
