"""JSONL, JSON, CSV and TSV files that name images by URI, one record per line. They may be packed.

`pipeline.sources.lists` reads the records, `pipeline.sources.columns` chooses the fields, and
`pipeline.sources.image_files` finds the folder with the images.

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
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.fileformats import sniff
from pipeline.sample import Chunk, Reject, Sample, Source
from pipeline.sources import SourceOptions, columns, dialects, fetch, field_names, image_files, lists, records
from pipeline.sources.columns import Columns
from pipeline.storage import File, Listing

CONTENT = frozenset(["text"])
TELLS_ROWS_AT_ONCE = False
KNOWN_NAMES = ("captions.txt", "captions.token", "*.token.txt", "results_*.token")
"""lists without a list's suffix: of Flickr8k and Flickr30k"""
NOT_CAPTIONS = "*.lemma.token.txt"
"""the words of Flickr8k's captions without their endings"""
BYTES_PER_PART = 64 << 20
RECORDS_LOOKED_AT = 1_000
MAX_URI = 4096
"""characters"""


def claims(listing: Listing) -> Sequence[File]:
    named = [file for file in listing.files if lists.suffix(file.path) not in ("", lists.JSON)]
    named += _of_known_names(listing)
    is_json = all(lists.suffix(file.path) == lists.JSON for file in listing.files)
    if not named and is_json and not records.documents(listing):
        return listing.files  # beside other files, a .json is more likely to belong to them
    return [file for file in records.metadata_files(listing) if file in named] or named


def _of_known_names(listing: Listing) -> list[File]:
    names = {file: file.path.lower().rpartition("/")[2] for file in listing.files}
    found = [file for file, name in names.items() if any(fnmatchcase(name, known) for known in KNOWN_NAMES)]
    stems = {file.path.rpartition(".")[0] for file in listing.files if file not in found} if found else set()
    # a file of the same stem is an image, whose caption this is
    return [f for f in found if not fnmatchcase(names[f], NOT_CAPTIONS) and f.path.rpartition(".")[0] not in stems]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    files = claims(listing) or listing.files
    sources = [Source(file.path, file.uri, file.version, file.size) for file in files]
    names, values, first = _look_at(sources[0], options)
    found = pa.schema([pa.field(name, _type(values.get(name))) for name in names])
    chosen = columns.choose(sources[0], found, options.wanted())
    uris = _uris(first, chosen)
    folder = image_files.folder_of(listing, sources[0], uris)
    is_beside = folder is None or folder == sources[0].uri.rpartition("/")[0]
    of_all = Chunk(
        (),
        taken=columns.taken(found, chosen),
        kept=records.kept_schema([values], chosen.kept),
        columns=chosen,
        outside=image_files.outside(sources[0], uris, options.allow_uri),
    )
    chunks: list[Chunk] = []
    for source in sources:
        if source is not sources[0]:  # images that lie beside the first list lie beside each
            look = [] if is_beside else _uris(_look_at(source, options)[2], chosen)
            folder = image_files.folder_of(listing, source, look)
        is_table = lists.is_table(source)
        whole = replace(of_all, sources=(source,), gaps=not is_table, image_folder=folder)
        is_divided = not is_table and lists.can_be_divided(source.path)
        parts = max(1, math.ceil(source.size / BYTES_PER_PART)) if is_divided else 1
        chunks += [replace(whole, part=part, parts=parts) for part in range(parts)]
    return chunks


def _uris(found: Sequence[Mapping[str, Any]], chosen: Columns) -> list[str]:
    """The URIs of records."""
    values = (record.get(chosen.image) for record in found)
    return [uri for value in values for uri in (value if isinstance(value, list) else [value]) if isinstance(uri, str)]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    pairs = _samples(chunk, options)
    if chunk.parts == 1:
        pairs = columns.counted(pairs)
    left = ((sample, uri) for sample, uri in pairs if not chunk.is_done(sample.source.path, sample.row))
    if chunk.with_images:
        yield from fetch.fetched(left, options.allow_uri, chunk.image_folder)
    else:
        yield from (sample for sample, _ in left)


def _look_at(
    source: Source, options: SourceOptions
) -> tuple[Sequence[str], Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """(the names of the fields, the first value of each that is not null, the short texts of the first records).

    Raises:
        InputError: there is no record, or it is not clear which fields there are.
    """
    values: dict[str, Any] = {}
    first: list[Mapping[str, Any]] = []
    problem = ""
    with lists.opened(source) as opened:
        table = opened.table(options.separator, _named(options))
        lines = opened.json(0, 1) if table is None else opened.rows(table, ())
        for _, record in islice(lines, RECORDS_LOOKED_AT):
            if isinstance(record, str):
                problem = problem or f" ({record})"
            else:
                values |= {name: value for name, value in record.items() if values.get(name) is None}
                if len(first) < image_files.NAMES_LOOKED_AT:
                    first.append({name: value for name, value in record.items() if _is_short(value)})
    if table is not None:
        _refuse_other_separator(source, table)
    if not first:
        raise InputError(
            f"{source.path}: its first lines have no record; the file looks like {sniff.of_file(source.uri)}{problem}; "
            "check --input and --input-format"
        )
    if table is not None and options.captions and options.caption_col is None:
        _require_names(source, table, first[0])
    return [*map(records.escaped, values)] if table is None else table.header, values, first


def _is_short(value: Any) -> bool:
    """Whether a value can be a path or a URI, and not an image, or many of them."""
    return (
        isinstance(value, str | list)
        and len(value) <= MAX_URI
        and (isinstance(value, str) or all(map(_is_short, value)))
    )


def _named(options: SourceOptions) -> list[str]:
    """The fields that the user names."""
    return [name for name in (options.url_col, options.image_col, options.caption_col) if name is not None]


def _refuse_other_separator(source: Source, table: lists.Table) -> None:
    mark = next((mark for mark in dialects.SEPARATORS for name in table.header if mark in name), None)
    if len(table.header) == 1 and mark is not None:
        raise InputError(
            f"{source.path}: its fields seem to be separated by {mark!r}, not by {table.delimiter!r}; say it with "
            "--separator, and name the fields with --url-col and --caption-col"
        )


def _require_names(source: Source, table: lists.Table, first: Mapping[str, Any]) -> None:
    """Raises InputError for a list of more than two columns without a header."""
    if not table.has_header and dialects.CAPTION not in table.header:
        shown = ", ".join(f"{name}: {value!r:.40}" for name, value in first.items())
        raise InputError(
            f"{source.path}: has no header, and its columns are {shown}; choose that of captions with --caption-col"
        )


def _samples(chunk: Chunk, options: SourceOptions) -> Iterator[tuple[Sample, str | None]]:
    """(sample, the URI of its image) of each line."""
    (source,) = chunk.sources
    chosen: Columns = chunk.columns
    may_come_late = options.captions and chosen.caption is None and chunk.gaps
    for row, record in _lines(chunk, options):
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


def _lines(chunk: Chunk, options: SourceOptions) -> Iterator[lists.Line]:
    (source,) = chunk.sources
    with lists.opened(source) as opened:
        try:
            table = opened.table(options.separator, _named(options))
        except InputError as error:
            yield 0, str(error).removeprefix(f"{source.path}: ")
            return
        if table is not None:
            yield from opened.rows(table, chunk.columns.read())
        else:
            yield from opened.json(chunk.part, chunk.parts)


def _type(value: Any) -> pa.DataType:
    """The type of a field whose first value that is not null is this."""
    if isinstance(value, list):
        return pa.list_(records.json_type(value[0] if value else ""))
    return records.json_type(value)
