"""JSONL, CSV and TSV files that name images by URI, one record per line.

`pipeline.sources.columns` chooses the fields.

In JSONL, `source_row` is the byte offset of the line; further images of a list have the next numbers. A large file can
therefore be divided by bytes without counting its lines. In CSV and TSV, fields can contain line breaks, so
`source_row` is the number of the record and the file is one chunk. The last row of a file has `source_rows`; a JSONL
file of several parts has it in no row, so each run reads its lines again, but not its images.

The first records of the first file decide which fields the input has. A line that is not a record is rejected
(`bad-record`); blank lines are ignored. `pipeline.sources.fetch` fetches the URIs: a URI that is not allowed is
rejected (`forbidden-uri`), and so is one without a file (`no-image`).
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
"""text formats are recognised only by the file's name"""
DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".jsonl", ".ndjson", *DELIMITERS)
BYTES_PER_PART = 64 << 20
RECORDS_LOOKED_AT = 100

Line = tuple[int, Mapping[str, Any] | str]
"""(source_row, the record or the reason why the line is not one)"""


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
            f"{sources[0].path}: its first lines have no record; the file looks like "
            f"{sniff.of_file(sources[0].uri)}; check --input and --input-format"
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
            continue  # a resumed run checks each line of a large file, so this comes before the expensive part
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
    """The lines that begin at byte `start` or later and before `stop`."""
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
            yield place, f"line of {len(first) + rest} bytes is above the limit of {captions.MAX_RECORD_BYTES}"
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
    return record if isinstance(record, dict) else "not a JSON object"


def _csv_lines(handle: Any, delimiter: str) -> Iterator[Line]:
    csv.field_size_limit(captions.MAX_RECORD_BYTES)
    # Bytes that are not UTF-8 affect only their field: a caption rejects its row, a kept text is escaped.
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
            problem = "a quoted field is not closed before the end" if pieces.are_over else _uneven(fields, header)
            yield row, problem or dict(zip(header, fields, strict=True))
        row += 1


class _Pieces:
    """The lines of a text for `csv`, with long lines in pieces that fit into memory.

    If `csv` returns a record after `are_over` is set, it was still inside a quoted field when the text ended.
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
    return None if len(fields) == len(header) else f"{len(fields)} fields, but the header has {len(header)}"


def _delimiter(source: Source) -> str:
    return next((mark for suffix, mark in DELIMITERS.items() if source.path.lower().endswith(suffix)), "")


def _type(first: Sequence[Mapping[str, Any]], name: str) -> pa.DataType:
    """A field's type: that of its first value that is not null."""
    value = next((record[name] for record in first if record.get(name) is not None), None)
    if isinstance(value, list):
        return pa.list_(records.json_type(value[0] if value else ""))
    return records.json_type(value)
