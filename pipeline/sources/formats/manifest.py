"""JSONL, JSON, CSV and TSV files that name images by URI, one record per line. They may be packed.

`pipeline.sources.lists` reads the records, and `pipeline.sources.columns` chooses the fields.

In JSONL, `source_row` is the byte offset of the line; further images of a list have the next numbers. A large file can
therefore be divided by bytes without counting its lines. Of a packed file it is the offset in what it unpacks to, and
in a JSON array that of the element, in characters. In CSV and TSV, fields can contain line breaks, so `source_row` is
the number of the record and the file is one chunk. The last row of a file has `source_rows`; a JSONL file of several
parts has it in no row, so each run reads its lines again, but not its images.

The first records of the first file decide which fields the input has. A line that is not a record is rejected
(`bad-record`); blank lines are ignored. `pipeline.fileformats.delimited` says what quotes mean in CSV and TSV.
`pipeline.sources.fetch` fetches the URIs: a URI that is not allowed is rejected (`forbidden-uri`), and so is one
without a file (`no-image`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.fileformats import delimited, sniff
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions, columns, fetch, field_names, lists, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT: frozenset[str] = frozenset()
"""text formats are recognised only by the file's name"""
OTHER_DELIMITERS = (*"\t;,|",)
BYTES_PER_PART = 64 << 20
RECORDS_LOOKED_AT = 1_000


def claims(listing: Listing) -> Sequence[File]:
    named = [file for file in listing.files if lists.suffix(file.path) not in ("", lists.JSON)]
    if not named and all(lists.suffix(file.path) == lists.JSON for file in listing.files):
        return listing.files  # beside other files, a .json is more likely to belong to them
    return [file for file in records.metadata_files(listing) if file in named] or named


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    files = claims(listing) or listing.files
    sources = [Source(file.path, file.uri, file.version, file.size) for file in files]
    names, values = _look_at(sources[0])
    found = pa.schema([pa.field(name, _type(values.get(name))) for name in names])
    chosen = columns.choose(sources[0], found, options.wanted())
    taken = columns.taken(found, chosen)
    kept = records.kept_schema([values], chosen.kept)
    return [
        Chunk(
            (source,),
            part,
            parts,
            taken=taken,
            kept=kept,
            columns=chosen,
            gaps=lists.suffix(source.path) not in lists.DELIMITERS,
        )
        for source in sources
        for parts in [max(1, math.ceil(source.size / BYTES_PER_PART)) if lists.can_be_divided(source.path) else 1]
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


def _look_at(source: Source) -> tuple[Sequence[str], Mapping[str, Any]]:
    """(the names of the fields, the first value of each that is not null) of the first records of a file.

    Raises:
        InputError: there is no record.
    """
    values: dict[str, Any] = {}
    problem = ""
    has_records = False
    with lists.opened(source) as opened:
        table = opened.table()
        lines = opened.json(0, 1) if table is None else opened.rows(table, ())
        for _, record in islice(lines, RECORDS_LOOKED_AT):
            if isinstance(record, str):
                problem = problem or f" ({record})"
            else:
                has_records = True
                values |= {name: value for name, value in record.items() if values.get(name) is None}
    if table is not None:
        _refuse_other_delimiter(source, table)
    if not has_records:
        raise InputError(
            f"{source.path}: its first lines have no record; the file looks like {sniff.of_file(source.uri)}{problem}; "
            "check --input and --input-format"
        )
    return [*map(records.escaped, values)] if table is None else table.header, values


def _refuse_other_delimiter(source: Source, table: delimited.Table) -> None:
    if len(table.header) > 1:
        return
    for mark in OTHER_DELIMITERS:
        if any(mark in name for name in table.header):
            stated = "give it the suffix .tsv" if mark == delimited.TAB else f"put the line sep={mark} above the header"
            raise InputError(
                f"{source.path}: its fields seem to be separated by {mark!r}, not by {table.delimiter!r}; write "
                f"{table.delimiter!r} instead, or {stated}"
            )


def _samples(chunk: Chunk, options: SourceOptions) -> Iterator[tuple[Sample, str | None]]:
    """(sample, the URI of its image) of each line."""
    (source,) = chunk.sources
    chosen: Columns = chunk.columns
    may_come_late = options.captions and chosen.caption is None and lists.suffix(source.path) not in lists.DELIMITERS
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


def _lines(chunk: Chunk) -> Iterator[lists.Line]:
    (source,) = chunk.sources
    with lists.opened(source) as opened:
        if (table := opened.table()) is not None:
            yield from opened.rows(table, chunk.columns.read())
        else:
            yield from opened.json(chunk.part, chunk.parts)


def _type(value: Any) -> pa.DataType:
    """The type of a field whose first value that is not null is this."""
    if isinstance(value, list):
        return pa.list_(records.json_type(value[0] if value else ""))
    return records.json_type(value)
