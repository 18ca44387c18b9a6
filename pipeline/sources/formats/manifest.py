"""JSONL, CSV and TSV files that name images by URI, one record per line.

`pipeline.sources.columns` chooses the fields.

In JSONL, `source_row` is the byte offset of the line; further images of a list have the next numbers. A large file can
therefore be divided by bytes without counting its lines. In CSV and TSV, fields can contain line breaks, so
`source_row` is the number of the record and the file is one chunk. The last row of a file has `source_rows`; a JSONL
file of several parts has it in no row, so each run reads its lines again, but not its images.

The first records of the first file decide which fields the input has. A line that is not a record is rejected
(`bad-record`); blank lines are ignored. `pipeline.fileformats.delimited` says what quotes mean in CSV and TSV.
`pipeline.sources.fetch` fetches the URIs: a URI that is not allowed is rejected (`forbidden-uri`), and so is one
without a file (`no-image`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import delimited, sniff, text
from pipeline.sample import IMAGE_SUFFIXES, Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions, captions, columns, fetch, field_names, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT: frozenset[str] = frozenset()
"""text formats are recognised only by the file's name"""
DELIMITERS = {".csv": ",", ".tsv": "\t"}
OTHER_DELIMITERS = (*"\t;,|",)
SUFFIXES = (".jsonl", ".ndjson", *DELIMITERS)
BYTES_PER_PART = 64 << 20
RECORDS_LOOKED_AT = 1_000

Line = tuple[int, Mapping[str, Any] | str]
"""(source_row, the record or the reason why the line is not one)"""


def claims(listing: Listing) -> Sequence[File]:
    files = [file for file in listing.files if file.path.lower().endswith(SUFFIXES)]
    return [file for file in records.metadata_files(listing) if file in files] or files


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    files = claims(listing) or listing.files
    sources = [Source(file.path, file.uri, file.version, file.size) for file in files]
    names, first = _look_at(sources[0])
    found = pa.schema([pa.field(name, _type(first, name)) for name in names])
    chosen = columns.choose(sources[0], found, options.wanted())
    taken = columns.taken(found, chosen)
    kept = records.kept_schema(first, chosen.kept)
    return [
        Chunk(
            (source,),
            part,
            parts,
            taken=taken,
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
    pairs = _samples(chunk, options)
    if chunk.parts == 1:
        pairs = columns.counted(pairs)
    left = ((sample, uri) for sample, uri in pairs if not chunk.is_done(sample.source.path, sample.row))
    yield from fetch.fetched(left, options.allow_uri) if chunk.with_images else (sample for sample, _ in left)


def _look_at(source: Source) -> tuple[Sequence[str], Sequence[Mapping[str, Any]]]:
    """(the names of the fields, the first records) of a file.

    Raises:
        InputError: there is no record.
    """
    with storage.open_file(source.uri) as handle:
        table = _table(handle, delimiter) if (delimiter := _delimiter(source)) else None
        lines = _csv_lines(table) if table else _json_lines(handle, 0, source.size)
        found = [record for _, record in islice(lines, RECORDS_LOOKED_AT)]
    first = [record for record in found if not isinstance(record, str)]
    names = table.header if table else [*dict.fromkeys(records.escaped(name) for record in first for name in record)]
    if len(names) == 1 and table and (mark := next((mark for mark in OTHER_DELIMITERS if mark in names[0]), None)):
        otherwise = "give it the suffix .tsv" if mark == delimited.TAB else f"put the line sep={mark} above the header"
        raise InputError(
            f"{source.path}: its fields seem to be separated by {mark!r}, not by {table.delimiter!r}; write "
            f"{table.delimiter!r} instead, or {otherwise}"
        )
    if not first:
        problem = next((f" ({record})" for record in found if isinstance(record, str)), "")
        raise InputError(
            f"{source.path}: its first lines have no record; the file looks like {sniff.of_file(source.uri)}{problem}; "
            "check --input and --input-format"
        )
    return names, first


def _samples(chunk: Chunk, options: SourceOptions) -> Iterator[tuple[Sample, str | None]]:
    """(sample, the URI of its image) of each line."""
    (source,) = chunk.sources
    chosen: Columns = chunk.columns
    may_come_late = options.captions and chosen.caption is None and not _delimiter(source)
    for row, record in _lines(chunk):
        where = f"{source.path} row {row}"
        if isinstance(record, str):
            reject = Reject("read", "bad-record", f"{where}: {record}")
            yield Sample(source, row, None, str(row), None, None, reject=reject), None
            continue
        if late := may_come_late and field_names.CAPTIONS.among(name for name in record if record[name] is not None):
            message = (
                f"{where}: has the field {late[0]!r}, but the first {RECORDS_LOOKED_AT} records have no captions; "
                f"give --caption-col {late[0]}, or --no-captions"
            )
            yield Sample(source, row, None, str(row), None, None, reject=Reject("read", "bad-record", message)), None
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
        if delimiter := _delimiter(source):
            yield from _csv_lines(_table(handle, delimiter), chunk.columns.read())
        else:
            yield from _json_lines(handle, start, stop)


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
        elif line := (first.removeprefix(b"\xef\xbb\xbf") if place == 0 else first).strip():
            yield place, _record(line)
        place += len(first) + rest


def _line(handle: Any) -> Iterator[bytes]:
    """A line, in pieces that fit into memory."""
    while piece := handle.readline(captions.MAX_RECORD_BYTES):
        yield piece
        if piece.endswith(b"\n"):
            return


def _record(line: bytes) -> Mapping[str, Any] | str:
    try:
        record = captions.parse(line)
    except ValueError as error:
        return str(error)
    return record if isinstance(record, dict) else "not a JSON object"


def _table(handle: Any, delimiter: str) -> delimited.Table:
    head = handle.read(text.MARK_BYTES)
    handle.seek(0)
    # Bytes that are not UTF-8 affect only their field: a caption rejects its row, a kept text is escaped.
    table = delimited.Table(text.lines(handle, head), delimiter, captions.MAX_RECORD_BYTES, _has_uri)
    table.header = [records.escaped(name) for name in table.header]
    return table


def _csv_lines(table: delimited.Table, read: Collection[str] = ()) -> Iterator[Line]:
    """The rows of a table, if the fields to read can be told apart."""
    twice = next((name for name in read if table.header.count(name) > 1), None)
    problem = table.problem if twice is None else f"several columns are named {twice!r}; rename all but one of them"
    if problem is not None:
        yield 0, problem
        return
    for row, fields in enumerate(table):
        yield row, fields if isinstance(fields, str) else dict(zip(table.header, fields, strict=True))


def _has_uri(fields: Sequence[str]) -> bool:
    """Whether a field looks like the address of an image."""
    return any("://" in field or field.lower().endswith(IMAGE_SUFFIXES) for field in map(str.strip, fields))


def _delimiter(source: Source) -> str:
    return next((mark for suffix, mark in DELIMITERS.items() if source.path.lower().endswith(suffix)), "")


def _type(first: Sequence[Mapping[str, Any]], name: str) -> pa.DataType:
    """A field's type: that of its first value that is not null."""
    value = next((record[name] for record in first if record.get(name) is not None), None)
    if isinstance(value, list):
        return pa.list_(records.json_type(value[0] if value else ""))
    return records.json_type(value)
