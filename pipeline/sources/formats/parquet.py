"""Parquet files with a column of images (bytes or URIs) and a column of captions.

`pipeline.sources.columns` chooses the columns.

A large file is divided by bytes. A part reads the row groups that begin within it, so planning needs no footer.

The first file decides which columns are kept and whether the input has captions. If a later file lacks a column, its
values are null. If it has no images, or numbers instead of captions, each of its rows is rejected (`bad-parquet`). Text
can be any of Arrow's text types, plain or dictionary-encoded, and is kept as `string`; likewise bytes are kept as
`binary`.

Odd values do not end a run. A caption that is not UTF-8 rejects its row. In a key or a kept text, bytes that are not
UTF-8 are escaped (`\\xff`). A kept value that Python cannot represent is null (a date after the year 9999, a list that
contains such a text). An original size that is not a positive int32 is ignored.

Broken files do not end a run either (`bad-parquet`). The rows of a row group that cannot be read, or that would unpack
to far more than an image column ever does, are rejected one by one. A later file that is not Parquet is one rejected
row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import parquet_pages, sniff
from pipeline.sample import Chunk, Reject, Sample, Source, Stretch
from pipeline.sources import SourceOptions, columns, fetch, image_files, img2dataset, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT = frozenset(["Parquet", "encrypted Parquet"])
TELLS_ROWS_AT_ONCE = True
SUFFIXES = (".parquet", ".pq")
BYTES_PER_PART = 64 << 20
ROWS_PER_READ = 256
BYTES_PER_READ = 2 << 20
"""Approximate limit of one batch of rows. What a core's cache holds is copied out of it faster, in memory that is used
again for the next one."""
MAX_RATIO = 100
"""Photos and captions hardly compress. A column is a decompression bomb if it unpacks to more than this many times its
size and to more than MAX_SMALL bytes."""
MAX_SMALL = 256 << 20
MAX_ROWS_PER_BYTE = 64
MAX_FEW_ROWS = 1_000_000
"""A file may claim this many rows, however small it is."""

# Arrow's errors about a file's bytes; `_Watched` separates them from errors of the store. MemoryError is raised if a
# page unpacks to more memory than the reading process may use, even if the footer states less.
FORMAT_ERRORS = (pa.ArrowException, OSError, ValueError, MemoryError)
OUT_OF_MEMORY = ("Failed to launch worker thread", "Cannot allocate memory")
"""what other errors of Arrow say where memory ran out: a thread needs some too"""


def claims(listing: Listing) -> Sequence[File]:
    logs = {file.path for file in img2dataset.logs(listing).values()}
    files = [file for file in listing.files if file.path.endswith(SUFFIXES) and file.path not in logs]
    return [file for file in records.metadata_files(listing) if file in files] or files


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    sources = [Source(file.path, file.uri, file.version, file.size) for file in claims(listing) or listing.files]
    with storage.open_file(sources[0].uri) as handle:
        try:
            opened = _open(handle)
        except _BadParquetError as error:
            raise InputError(
                f"{sources[0].path}: not readable as Parquet: looks like {sniff.of_file(sources[0].uri)}: {error}; "
                "fix or remove the file"
            ) from error
        chosen = columns.choose(sources[0], opened.schema, options.wanted())
        uris = _first_uris(opened, chosen, sources[0].size) if chosen.is_uri else []
    kept = columns.kept_schema(opened.schema, chosen)
    taken = columns.taken(opened.schema, chosen)
    outside = image_files.outside(sources[0], uris, options.allow_uri)
    folder = image_files.folder_of(listing, sources[0], uris)
    beside = sources[0].uri.rpartition("/")[0]
    return [
        Chunk(
            (source,),
            part,
            parts,
            taken=taken,
            kept=kept,
            # images that lie beside the first file lie beside each
            image_folder=None if folder == beside and source is not sources[0] else folder,
            outside=outside,
        )
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
            chosen = chosen if chunk.with_images else chosen.without_images()
            groups = _row_groups(opened.file, chosen, source.size)
        except InputError as error:
            yield from _unfit(chunk, opened.file.metadata.num_rows, str(error))
            return
        except _BadParquetError as error:
            yield from _unreadable(chunk, error)
            return
        reader = _Reader(source, opened, chunk, chosen, sum(group.samples for group in groups))
        found = (pair for group in groups if _is_in_part(group, chunk) for pair in reader.samples(group))
        if chunk.with_images:
            yield from fetch.fetched(found, options.allow_uri, chunk.image_folder)
        else:
            yield from (sample for sample, _ in found)


def _first_uris(opened: _Opened, chosen: Columns, size: int) -> list[str]:
    """The URIs of the first rows; empty if they cannot be read, as their rows are then rejected."""
    images = replace(chosen, caption=None, uid=None, kept=(), own=())
    reader = _Reader(Source("", "", "", size), opened, Chunk(()), images, 0)
    try:
        rows = (record for group in _row_groups(opened.file, images, size)[:1] for record in reader.records(group))
        first = list(islice(rows, image_files.NAMES_LOOKED_AT))
    except _BadParquetError:
        return []
    uris = (unit.uri for record in first for unit in columns.units(record, images, ""))
    return [uri for uri in uris if uri is not None]


def _unreadable(chunk: Chunk, error: _BadParquetError) -> Iterator[Sample]:
    """The one rejected row of a file that cannot be read at all."""
    (source,) = chunk.sources
    if chunk.part == 0 and not chunk.is_done(source.path, 0):
        yield Sample(source, 0, 1, source.path, None, None, reject=_bad(source.path, error))


def _unfit(chunk: Chunk, rows: int, message: str) -> Iterator[Sample]:
    """Rejects each row of a file that lacks the columns to read; or one row, if the file is too small for the number of
    rows that it claims."""
    (source,) = chunk.sources
    if chunk.part == 0:
        for row in range(rows if rows <= _most_rows(source.size) else 1):
            if not chunk.is_done(source.path, row):
                reject = Reject("read", "bad-parquet", records.escaped(message))
                yield Sample(source, row, rows, str(row), None, None, reject=reject)


class _BadParquetError(ValueError):
    """A file, or a part of it, cannot be read as Parquet."""

    repair = "fix or remove the file"


class _MemoryError(_BadParquetError):
    """A file, or a part of it, needs more memory than the reading process may use."""

    repair = "raise it, or write the file with smaller row groups"

    def __init__(self) -> None:
        super().__init__("reading needs more memory than --sample-gigabytes allows")


class _Watched:
    """A file that remembers the error of its store, because Arrow does not separate it from its own errors.

    It also checks the page headers of each column chunk when it is read, before Arrow unpacks the pages.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._place = 0
        self.chunks: Sequence[tuple[int, int]] = ()
        """(first byte, bytes) of the column chunks that will be read next"""
        self.raised: Exception | None = None

    def read(self, size: int = -1) -> bytes | pa.Buffer:
        data = self._watch("read") if size < 0 else self._read(size)
        pages = memoryview(data).cast("B")
        for begin, length in self.chunks:
            start = begin - self._place
            if 0 <= start <= start + length <= len(pages):
                self._look_at_pages(pages[start : start + length])
        self._place += len(pages)
        return data

    def _read(self, size: int) -> pa.Buffer:
        """Into memory of Arrow, which uses it again for the next row group. Python's would be mapped anew each time."""
        buffer = pa.allocate_buffer(size)
        return buffer.slice(0, self._watch("readinto", memoryview(buffer)))

    def seek(self, *place: int) -> int:
        self._place = self._watch("seek", *place)
        return self._place

    def _look_at_pages(self, chunk: memoryview) -> None:
        unpacked = parquet_pages.unpacked_size(chunk)
        if _is_bomb(len(chunk), unpacked):
            self.raised = _BadParquetError(f"decompression bomb: pages of {len(chunk)} bytes unpack to {unpacked}")
            raise self.raised

    def _watch(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._handle, method)(*arguments)
        except Exception as error:
            self.raised = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def bad(self, error: Exception) -> Exception:
        """The error to raise instead of Arrow's: the store's, if there was one."""
        lines = str(error).splitlines() or [type(error).__name__]
        if isinstance(error, MemoryError) or any(words in lines[0] for words in OUT_OF_MEMORY):
            return _MemoryError()
        return self.raised or _BadParquetError(lines[0])


@dataclass(frozen=True)
class _Opened:
    file: Any
    schema: pa.Schema
    watched: _Watched


@dataclass(frozen=True)
class _Group:
    """A row group, as described in the footer."""

    index: int
    begin: int
    """the first byte"""
    first_row: int
    rows: int
    first_sample: int
    samples: int
    packed: int
    """bytes of the columns that are read, in the file"""
    unpacked: int
    dictionary: int
    """about the bytes of the largest dictionary of values, unpacked: no value of its column is larger"""
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
    """The row groups, as described in the footer.

    Raises:
        _BadParquetError: the description cannot be true.
    """
    leaves = _leaves(file, chosen)
    groups: list[_Group] = []
    row = sample = 0
    for index in range(file.metadata.num_row_groups):
        try:
            found = file.metadata.row_group(index)
            read = {path: found.column(place) for place, path in leaves.items()}
            chunks = [(_begin(column), column.total_compressed_size) for column in read.values()]
            # the leaf of a list column has one value per element, and one for an empty list
            many = [column.num_values for path, column in read.items() if _is_of(path, chosen.many)]
            samples = max([found.num_rows, *many])
            packed = sum(column.total_compressed_size for column in read.values())
            unpacked = sum(column.total_uncompressed_size for column in read.values())
            dictionary = max(map(_dictionary_bytes, read.values()), default=0)
        except FORMAT_ERRORS as error:
            raise _BadParquetError(f"row group {index}: {str(error).splitlines()[0]}") from error
        # Group offsets are limited to the listed size, so that no group is lost if the file has grown since.
        begin = min(max(0, _begin(found.column(0))), size - 1)
        sizes = (packed, unpacked, dictionary)
        groups.append(_Group(index, begin, row, found.num_rows, sample, samples, *sizes, chunks))
        row, sample = row + found.num_rows, sample + samples
        if found.num_rows < 0 or sample > _most_rows(size):
            raise _BadParquetError(f"row group {index}: claims {samples} rows, but the file has only {size} bytes")
    return groups


def _most_rows(size: int) -> int:
    """The largest number of rows that a file of this size may claim."""
    return MAX_FEW_ROWS + MAX_ROWS_PER_BYTE * size


def _begin(column: Any) -> int:
    """The first byte of a column in a row group. Some writers give byte 0 for a dictionary that does not exist."""
    data, dictionary = column.data_page_offset, column.dictionary_page_offset or 0
    return int(dictionary if 0 < dictionary < data else data)


def _dictionary_bytes(column: Any) -> int:
    """About the unpacked bytes of a column's dictionary in a row group; 0 if it has none.

    The footer does not say it. The dictionary is taken to be packed as well as the rest of the column.
    """
    data, dictionary = column.data_page_offset, column.dictionary_page_offset or 0
    if not 0 < dictionary < data:
        return 0
    return int((data - dictionary) * column.total_uncompressed_size // max(1, column.total_compressed_size))


def _is_bomb(packed: int, unpacked: int) -> bool:
    return packed < 0 or unpacked > max(MAX_SMALL, MAX_RATIO * packed)


def _leaves(file: Any, chosen: Columns) -> dict[int, str]:
    """Index and path of each leaf column that is read. Of a struct of an image, only some fields are."""
    paths = [file.schema.column(place).path for place in range(len(file.schema.names))]
    found = {place: path for place, path in enumerate(paths) if any(_is_of(path, name) for name in chosen.read())}
    fields = columns.struct_fields(file.schema_arrow.field(chosen.image).type)
    if not fields:
        return found
    ends = tuple(f".{field}" for field in fields)
    return {p: path for p, path in found.items() if not _is_of(path, chosen.image) or path.endswith(ends)}


def _is_of(path: str, column: str | None) -> bool:
    """Whether a leaf belongs to a column. The column's name can contain dots."""
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
        """(sample, the URI of its image if it has one) of a row group's rows that are not done yet."""
        place, end = group.first_sample, group.first_sample + group.samples
        if self._is_done(place, end):
            return
        if not (self.chunk.with_images or self.chunk.with_captions):  # the footer is enough to number the samples
            left = (number for number in range(place, end) if not self._is_done(number))
            yield from ((Sample(self.source, number, self.rows, f"slot {number}", None, None), None) for number in left)
            return
        row = group.first_row
        self.chunk.reading(Stretch(self.source, place, end, self.rows))
        try:
            for record in self.records(group):
                where = f"{self.source.path} row {row}"
                for unit in columns.units(record, self.columns, where):
                    if place < end and not self._is_done(place):
                        sample = columns.sample(self.source, (place, self.rows, str(row)), record, unit, self.columns)
                        kept = columns.kept(record, self.opened.schema, self.chunk.kept)
                        yield replace(sample, kept=kept), unit.uri
                    place += 1
                row += 1
            problem = _BadParquetError("has fewer rows than the footer states")
        except _BadParquetError as error:
            problem = error
        for lost in range(place, end):
            if not self._is_done(lost):
                reject = _bad(f"{self.source.path}: row group {group.index}", problem)
                yield Sample(self.source, lost, self.rows, f"slot {lost}", None, None, reject=reject), None

    def _is_done(self, place: int, stop: int | None = None) -> bool:
        return self.chunk.is_done(self.source.path, place, stop)

    def records(self, group: _Group) -> Iterator[dict[str, Any]]:
        if _is_bomb(group.packed, group.unpacked):
            raise _BadParquetError(f"decompression bomb: {group.packed} bytes unpack to {group.unpacked}")
        # Each row may have the largest value of a dictionary, which the column's size counts only once.
        fitting = min(BYTES_PER_READ * group.rows // max(1, group.unpacked), BYTES_PER_READ // max(1, group.dictionary))
        names = list(_leaves(self.opened.file, self.columns).values())
        self.opened.watched.chunks = group.chunks
        at_once = min(max(1, fitting), ROWS_PER_READ)
        try:
            # In one thread, because others decode images meanwhile.
            for batch in self.opened.file.iter_batches(at_once, [group.index], names, use_threads=False):
                yield from columns.rows(batch, batch.schema.names, self.columns.image)
        except FORMAT_ERRORS as error:
            raise self.opened.watched.bad(error) from error


def _bad(where: str, problem: _BadParquetError) -> Reject:
    return Reject("read", "bad-parquet", f"{where}: {records.shown(str(problem), 300)}; {problem.repair}")
