"""Arrow IPC files, as Hugging Face's `Dataset.save_to_disk` writes them, with the same columns as Parquet.

Both forms are read: the stream, which `datasets` writes, and the file, which others call Feather. The folder of a saved
dataset has a `state.json` that lists its data files. Others there, such as `cache-….arrow` of a later `map`, are not
part of the dataset and are not read.

`source_row` numbers the samples of a file. A local file is divided into parts of record batches. A file elsewhere is
copied to local disk first, so it is one part. A record batch is mapped into memory, and its rows are read a few at a
time.

A file that breaks off is read up to there, and the rest of it is one rejected row (`bad-arrow`). So is a later file
that is not Arrow. The rows of a later file without the columns of the first are rejected one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import sniff
from pipeline.sample import Chunk, Reject, Sample, Source, Stretch
from pipeline.sources import SourceOptions, captions, columns, fetch, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT = frozenset(["an Arrow IPC file", "an Arrow IPC stream"])
TELLS_ROWS_AT_ONCE = False
SUFFIXES = (".arrow", ".arrows", ".feather")
STATE, INFO = "state.json", "dataset_info.json"
"""files in the folder of a saved dataset, and of one in Hugging Face's cache"""
CACHE = "cache-"
LANCE_DELETIONS = "_deletions"
"""the folder of a Lance dataset that has Arrow files"""
DATA_FILES = "_data_files"
FILE_MAGIC = b"ARROW1"
BYTES_PER_PART = 64 << 20
ROWS_PER_READ = 256
BYTES_PER_READ = 64 << 20
"""approximate limit of the rows that are read at once"""

FORMAT_ERRORS = (pa.ArrowException, OSError, ValueError)


def claims(listing: Listing) -> Sequence[File]:
    files = [file for file in listing.files if file.path.lower().endswith(SUFFIXES)]
    files = [file for file in files if not _folder(file).endswith(LANCE_DELETIONS)]
    saved = {_folder(file) for file in listing.files if _name(file) in (STATE, INFO)} if files else set()
    return [file for file in files if not (_name(file).startswith(CACHE) and _folder(file) in saved)]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    files = _of_saved_datasets(listing, claims(listing) or listing.files)
    sources = [Source(file.path, file.uri, file.version, file.size) for file in files]
    with storage.open_file(sources[0].uri) as handle:
        try:
            found = _open(handle)[0]
        except FORMAT_ERRORS as error:
            raise InputError(
                f"{sources[0].path}: not readable as Arrow: looks like {sniff.of_file(sources[0].uri)}: "
                f"{_first_line(error)}; fix or remove the file"
            ) from error
    chosen = columns.choose(sources[0], found, options.wanted())
    kept = columns.kept_schema(found, chosen)
    return [
        Chunk((source,), part, parts, taken=columns.taken(found, chosen), kept=kept)
        for source in sources
        for parts in [max(1, math.ceil(source.size / BYTES_PER_PART)) if source.uri.startswith("file://") else 1]
        for part in range(parts)
    ]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    chunk.reading(Stretch(source, 0, 1 if chunk.part == 0 else 0, 1, is_all=True))
    with storage.local_copy(source.uri) as path:
        try:
            with pa.memory_map(str(path)) as mapped:
                found, _ = _open(mapped)
        except FORMAT_ERRORS as error:
            if chunk.part == 0 and not chunk.is_done(source.path, 0):
                yield _rejected(source, 0, 1, _first_line(error))
            return
        try:
            chosen = columns.choose(source, found, options.wanted(), chunk.kept)
        except InputError as error:
            reader = _Reader(source, path, chunk, None)
            yield from (_rejected(source, row, reader.rows, str(error)) for row in reader.numbers())
            return
        pairs = _Reader(source, path, chunk, chosen).samples()
        if chunk.with_images:
            yield from fetch.fetched(pairs, options.allow_uri)
        else:
            yield from (sample for sample, _ in pairs)


def _of_saved_datasets(listing: Listing, files: Sequence[File]) -> list[File]:
    """The files without those that lie in the folder of a saved dataset and are not part of it.

    Raises:
        InputError: a file of a dataset is missing, or its `state.json` cannot be read.
    """
    left = {file.path: file for file in files}
    for state in listing.files:
        if _name(state) != STATE:
            continue
        folder = _folder(state)
        own = {f"{folder}/{name}".lstrip("/") for name in _data_files(state)}
        there = [path for path, file in left.items() if _folder(file) == folder]
        missing = sorted(own.difference(there))
        if missing and there:
            raise InputError(f"{missing[0]}: {state.path} lists this file, but it is missing; restore it")
        for path in set(there) - own:
            del left[path]
    return list(left.values())


def _data_files(state: File) -> list[str]:
    try:
        found = captions.parse(storage.read_bytes(state.uri, captions.MAX_RECORD_BYTES))
        names = [entry["filename"] for entry in found[DATA_FILES]]  # type: ignore[index]
    except (ValueError, TypeError, LookupError) as error:
        raise InputError(
            f"{state.path}: not the state of a saved dataset: {error!r}; save the dataset again"
        ) from error
    return names


def _name(file: File) -> str:
    return file.path.rpartition("/")[2]


def _folder(file: File) -> str:
    return file.path.rpartition("/")[0]


def _open(file: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """(the schema of an open file, its record batches)."""
    is_file = file.read(len(FILE_MAGIC)) == FILE_MAGIC
    file.seek(0)
    if not is_file:
        stream = pa.ipc.open_stream(file)
        return stream.schema, iter(stream)
    reader = pa.ipc.open_file(file)
    return reader.schema, map(reader.get_batch, range(reader.num_record_batches))


class _Reader:
    """Reads the samples of a part of a file, which is divided by record batches."""

    def __init__(self, source: Source, path: Path, chunk: Chunk, chosen: Columns | None) -> None:
        """`chosen`: None if the file lacks the columns to read; its rows are then only numbered."""
        self._source, self._path, self._chunk, self._columns = source, path, chunk, chosen
        self._records: list[int] = []
        """rows of each record batch"""
        self._samples: list[int] = []
        """samples of each record batch"""
        self._problem: str | None = None
        """why what follows the record batches cannot be read"""
        with pa.memory_map(str(path)) as mapped:
            try:
                for batch in _open(mapped)[1]:
                    batch.validate()
                    self._samples.append(self._samples_in(batch))
                    self._records.append(batch.num_rows)
            except FORMAT_ERRORS as error:
                self._problem = _first_line(error)
        self.rows = sum(self._samples) + (self._problem is not None)
        count = len(self._samples)
        self._first, self._end = (count * part // chunk.parts for part in (chunk.part, chunk.part + 1))

    def numbers(self) -> Iterator[int]:
        """The rows of the part that are not done yet."""
        start, stop = (sum(self._samples[:batch]) for batch in (self._first, self._end))
        is_last = self._chunk.part == self._chunk.parts - 1
        return (row for row in range(start, self.rows if is_last else stop) if not self._is_done(row))

    def samples(self) -> Iterator[tuple[Sample, str | None]]:
        """(sample, the URI of its image if it has one) of the rows that are not done yet."""
        if not (self._chunk.with_images or self._chunk.with_captions) or self._columns is None:
            yield from ((Sample(self._source, row, self.rows, str(row), None, None), None) for row in self.numbers())
            return
        row, place = sum(self._records[: self._first]), sum(self._samples[: self._first])
        with pa.memory_map(str(self._path)) as mapped:
            for batch in islice(_open(mapped)[1], self._first, self._end):
                for rows in _few_rows(batch):
                    yield from self._of(rows, self._columns, row, place)
                    row, place = row + rows.num_rows, place + self._samples_in(rows)
        if self._problem is not None and self._chunk.part == self._chunk.parts - 1 and not self._is_done(place):
            yield _rejected(self._source, place, self.rows, f"the rest of the file: {self._problem}"), None

    def _of(self, rows: pa.RecordBatch, chosen: Columns, row: int, place: int) -> Iterator[tuple[Sample, str | None]]:
        """The samples of a few rows, from record `row` and sample `place` on."""
        stop = place + self._samples_in(rows)
        if all(self._is_done(number) for number in range(place, stop)):
            return
        self._chunk.reading(Stretch(self._source, place, stop, self.rows))
        for record in columns.rows(rows, chosen.read(), chosen.image):
            kept = columns.kept(record, rows.schema, self._chunk.kept)
            for unit in columns.units(record, chosen, f"{self._source.path} row {row}"):
                if not self._is_done(place):
                    sample = columns.sample(self._source, (place, self.rows, str(row)), record, unit, chosen)
                    yield replace(sample, kept=kept), unit.uri
                place += 1
            row += 1

    def _is_done(self, place: int) -> bool:
        return self._chunk.is_done(self._source.path, place)

    def _samples_in(self, batch: pa.RecordBatch) -> int:
        if self._columns is None or self._columns.many is None:
            return int(batch.num_rows)
        lengths = pc.fill_null(pc.list_value_length(batch[self._columns.many]), 0).to_numpy(zero_copy_only=False)
        return int(np.maximum(lengths, 1).sum())


def _few_rows(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    fitting = BYTES_PER_READ * batch.num_rows // max(1, batch.nbytes)
    step = min(max(1, fitting), ROWS_PER_READ)
    return (batch.slice(start, step) for start in range(0, batch.num_rows, step))


def _rejected(source: Source, row: int, rows: int, problem: str) -> Sample:
    message = records.shown(problem if problem.startswith(source.path) else f"{source.path}: {problem}", 400)
    reject = Reject("read", "bad-arrow", f"{message}; fix or remove the file")
    return Sample(source, row, rows, str(row) if rows > 1 else source.path, None, None, reject=reject)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
