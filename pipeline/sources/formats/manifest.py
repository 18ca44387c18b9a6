"""JSONL, CSV and TSV files that name images by URI, a record a line.

`pipeline.sources.columns` says which field is what.

`source_row` is the byte at which a line of JSONL begins (and the next ones for further images of its lists), so that a
large file is cut by bytes without being counted; of CSV and TSV, whose fields may hold line breaks, it is the record's
number, and the file is one chunk. `source_rows` stands in the last row of a file, and in none of a JSONL file of
several parts: such a file is read again by each run, its images not.

The first records of the first file decide which fields the input has. A line that is no record is rejected
(`bad-record`), blank ones are left out. URIs are fetched as `pipeline.sources.fetch` allows: one elsewhere is rejected
(`forbidden-uri`), as is one where nothing is (`no-image`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import sniff
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions, captions, columns, fetch, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT: frozenset[str] = frozenset()
"""texts are told apart by their names alone"""
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".jsonl", ".ndjson", *DELIMITERS)
BYTES_PER_PART = 64 << 20
RECORDS_LOOKED_AT = 100

Line = tuple[int, Mapping[str, Any] | str]
"""(source_row, the record or why it is none)"""


def claims(listing: Listing) -> Sequence[File]:
    files = [file for file in listing.files if file.path.lower().endswith(SUFFIXES)]
    return records.metadata_files(listing) or files


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    files = claims(listing) or listing.files
    sources = [Source(file.path, file.uri, file.version, file.size) for file in files]
    lines = (record for _, record in _lines(Chunk((sources[0],))))
    first = [record for record in islice(lines, RECORDS_LOOKED_AT) if not isinstance(record, str)]
    if not first:
        raise InputError(
            f"{sources[0].path}: none of its first lines is a record: looks like {sniff.of_file(sources[0].uri)}; "
            "check --input and --input-format"
        )
    found = pa.schema([pa.field(name, _type(first, name)) for name in dict.fromkeys(n for r in first for n in r)])
    chosen = columns.choose(sources[0], found, options.wanted())
    kept = records.kept_schema(first, chosen.kept)
    return [
        Chunk(
            (source,),
            part,
            parts,
            captioned=chosen.caption is not None,
            kept=kept,
            columns=chosen,
            gaps=not _delimiter(source),
        )
        for source in sources
        for parts in [1 if _delimiter(source) else max(1, math.ceil(source.size / BYTES_PER_PART))]
        for part in range(parts)
    ]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    pairs = _samples(chunk)
    if chunk.parts == 1:
        pairs = columns.counted(pairs)
    left = ((sample, uri) for sample, uri in pairs if not chunk.is_done(sample.source.path, sample.row))
    yield from fetch.fetched(left, options.allow_uri) if chunk.with_images else (sample for sample, _ in left)


def _samples(chunk: Chunk) -> Iterator[tuple[Sample, str | None]]:
    """(sample, the URI of its image) of each line."""
    (source,) = chunk.sources
    chosen: Columns = chunk.columns
    for row, record in _lines(chunk):
        where = f"{source.path} row {row}"
        if isinstance(record, str):
            reject = Reject("read", "bad-record", f"{where}: {record}")
            yield Sample(source, row, None, str(row), None, None, reject=reject), None
            continue
        holds_list = any(isinstance(record.get(name or ""), list) for name in (chosen.image, chosen.caption))
        if chunk.parts > 1 and not holds_list and chunk.is_done(source.path, row):
            continue  # a resumed run comes here for each line of a large file: before the costly part
        kept = records.kept(record, chunk.kept)
        for unit in columns.units(record, chosen, where):
            sample = columns.sample(source, (row + unit.index, None, str(row)), record, unit, chosen)
            yield replace(sample, kept=kept), unit.uri


def _lines(chunk: Chunk) -> Iterator[Line]:
    (source,) = chunk.sources
    start, stop = (source.size * edge // chunk.parts for edge in (chunk.part, chunk.part + 1))
    with storage.open_file(source.uri) as handle:
        delimiter = _delimiter(source)
        yield from _csv_lines(handle, delimiter) if delimiter else _json_lines(handle, start, stop)


def _json_lines(handle: Any, start: int, stop: int) -> Iterator[Line]:
    """The lines that begin from `start` to before `stop`."""
    place = start
    if start > 0:
        handle.seek(start - 1)
        place = start - 1 + sum(len(piece) for piece in _line(handle))
    while place < stop:
        pieces = _line(handle)
        first = next(pieces, b"")
        if not first:
            return
        rest = sum(len(piece) for piece in pieces)
        if rest:
            yield place, f"a line of {len(first) + rest} bytes, more than the limit of {captions.MAX_RECORD_BYTES}"
        elif text := (first.removeprefix(b"\xef\xbb\xbf") if place == 0 else first).strip():
            yield place, _record(text)
        place += len(first) + rest


def _line(handle: Any) -> Iterator[bytes]:
    """A line, in pieces that fit into memory."""
    while piece := handle.readline(captions.MAX_RECORD_BYTES):
        yield piece
        if piece.endswith(b"\n"):
            return


def _record(text: bytes) -> Mapping[str, Any] | str:
    try:
        record = captions.parse(text)
    except ValueError as error:
        return str(error)
    return record if isinstance(record, dict) else "no JSON object"


def _csv_lines(handle: Any, delimiter: str) -> Iterator[Line]:
    csv.field_size_limit(captions.MAX_RECORD_BYTES)
    # bytes that are no UTF-8 stay with their field: a caption rejects its row, a kept text is escaped
    pieces = _Pieces(io.TextIOWrapper(handle, "utf-8-sig", "surrogateescape", newline=""))
    rows = csv.reader(pieces, delimiter=delimiter)
    try:
        header = next(rows, [])
    except csv.Error as error:
        yield 0, f"the header: {error}"
        return
    row = 0
    while True:
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield row, str(error)
        else:
            if not fields:
                continue
            problem = "a quoted field goes on to the end of the file" if pieces.are_over else _uneven(fields, header)
            yield row, problem or dict(zip(header, fields, strict=True))
        row += 1


class _Pieces:
    """The lines of a text as `csv` takes them, long ones in pieces that fit into memory.

    Once they are over, a record that `csv` gives is one in which it waited for the end of a quoted field.
    """

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self.are_over = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self._text.readline(captions.MAX_RECORD_BYTES + 1)
        if not piece:
            self.are_over = True
            raise StopIteration
        return piece


def _uneven(fields: Sequence[str], header: Sequence[str]) -> str | None:
    return None if len(fields) == len(header) else f"{len(fields)} fields, and {len(header)} in the header"


def _delimiter(source: Source) -> str:
    return next((mark for suffix, mark in DELIMITERS.items() if source.path.lower().endswith(suffix)), "")


def _type(first: Sequence[Mapping[str, Any]], name: str) -> pa.DataType:
    """A field's type: what it holds in the first record where it is not null."""
    value = next((record[name] for record in first if record.get(name) is not None), None)
    if isinstance(value, list):
        return pa.list_(records.json_type(value[0] if value else ""))
    return records.json_type(value)
