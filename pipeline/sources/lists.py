"""Reads the records of a list of pairs, whatever it is written in: JSONL, a JSON array, CSV or TSV, also packed.

`pipeline.sources.dialects` recognises what separates the fields of a text, and whether it has a header.

A JSONL file of UTF-8 can be read in parts. The others are read whole: their first part has all records.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from pipeline import storage
from pipeline.fileformats import compression, delimited, json_array, sniff, text
from pipeline.sample import Source
from pipeline.sources import captions, dialects, records

DELIMITERS = {".csv": ",", ".tsv": "\t"}
HEAD_BYTES = 1 << 16
"""how much of a list is looked at"""
JSON, JSON_LINES = ".json", (".jsonl", ".ndjson")

Line = tuple[int, Mapping[str, Any] | str]
"""(source_row, the record or the reason why the line is not one)"""


def suffix(path: str) -> str:
    """The suffix that says what is in a list, in lower case: `.csv` for `a.CSV.gz`."""
    bare = path.lower()
    for packed in compression.SUFFIXES:
        bare = bare.removesuffix(packed)
    return next((end for end in (*JSON_LINES, *DELIMITERS, JSON) if bare.endswith(end)), "")


def is_table(source: Source) -> bool:
    """Whether a list has rows of fields, by its suffix, or by its content if the suffix does not tell."""
    end = suffix(source.path)
    if end:
        return end in DELIMITERS
    with opened(source) as found:
        return sniff.kind(found.head) != "JSON"


def can_be_divided(path: str) -> bool:
    """Whether a list of this name, if it is JSON, can be read in parts."""
    return suffix(path) not in (*DELIMITERS, JSON) and not path.lower().endswith(tuple(compression.SUFFIXES))


@contextmanager
def opened(source: Source) -> Iterator[OpenList]:
    """A list, unpacked while it is read."""
    with storage.open_file(source.uri) as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        kind = compression.kind(head)
        if kind is not None:
            unpacked = compression.Unpacked(file, kind, compression.limit(source.size, compression.TEXT_RATIO))
            with io.BufferedReader(unpacked, HEAD_BYTES) as handle:
                yield OpenList(source, handle, handle.peek(HEAD_BYTES)[:HEAD_BYTES], unpacked)
        else:
            yield OpenList(source, file, head, None)


@dataclass
class OpenList:
    source: Source
    handle: Any
    """the unpacked bytes, from their start"""
    head: bytes
    unpacked: compression.Unpacked | None

    def table(self, separator: str | None, named: Collection[str]) -> Table | None:
        """The rows of a CSV or TSV; None for JSON.

        Args:
            separator: what separates the fields, if the user says it.
            named: the fields that the user names.

        Raises:
            InputError: it is not clear what separates the fields.
        """
        end = suffix(self.source.path)
        if end not in ("", *DELIMITERS) or (end == "" and sniff.kind(self.head) == "JSON"):
            return None
        lines = self.head.decode(text.encoding(self.head), "replace").splitlines()
        whole = lines[:-1] if len(self.head) == HEAD_BYTES else lines
        dialect = dialects.of_list(whole, separator, DELIMITERS.get(end, ","), named, self.source.path)
        return Table(text.lines(self.handle, self.head), dialect)

    def text(self) -> TextIO:
        return text.lines(self.handle, self.head)

    def rows(self, table: Table, read: Collection[str]) -> Iterator[Line]:
        """The records of a table, if the columns to read can be told apart."""
        row = 0
        twice = next((name for name in read if table.header.count(name) > 1), None)
        problem = table.problem if twice is None else f"several columns are named {twice[:60]!r}; rename all but one"
        for fields in table if problem is None else [problem]:
            yield row, fields if isinstance(fields, str) else table.record(fields)
            row += 1
        yield from self._damage(row)

    def json(self, part: int, parts: int) -> Iterator[Line]:
        """The records of JSON: of the lines that begin in a part of the file, if it is one that can be divided."""
        encoding = text.encoding(self.head)
        is_utf8 = encoding.startswith("utf-8")
        if json_array.begins(self.head.decode(encoding, "replace")):
            found = _elements(text.lines(self.handle, self.head))
        elif self.unpacked is not None:
            found = _json_lines(self.handle, 0, None)
        elif not is_utf8:
            found = _json_lines(_InUtf8(text.lines(self.handle, self.head)), 0, None)
        else:
            start, stop = (self.source.size * edge // parts for edge in (part, part + 1))
            yield from _json_lines(self.handle, start, stop)
            return
        if part == 0:
            place = -1
            for place, record in found:
                yield place, record
            # a record of several images has several rows, but not as many as it has bytes
            yield from self._damage(max(place + 1, self.unpacked.written if self.unpacked else 0))

    def _damage(self, row: int) -> Iterator[Line]:
        if self.unpacked is not None and self.unpacked.problem is not None:
            yield row, self.unpacked.problem


class Table(delimited.Table):
    """The rows of a text of a known dialect."""

    def __init__(self, lines: TextIO, dialect: dialects.Dialect) -> None:
        super().__init__(lines, dialect.separator, captions.MAX_RECORD_BYTES, dialects.has_image, dialect.names)
        self.header = [records.escaped(name) for name in self.header]
        self.has_header = dialect.names is None
        self._numbered = dialect.numbered

    def record(self, fields: Sequence[str]) -> dict[str, str]:
        found = dict(zip(self.header, fields, strict=True))
        if self._numbered is not None:
            found[self._numbered] = dialects.without_number(found[self._numbered])
        return found


class _InUtf8:
    """The lines of a text in another encoding."""

    def __init__(self, lines: io.TextIOWrapper) -> None:
        self._lines = lines

    def readline(self, size: int) -> bytes:
        return self._lines.readline(size).encode(errors="surrogatepass")


def _elements(lines: io.TextIOWrapper) -> Iterator[Line]:
    for place, element in json_array.Elements(lines, captions.MAX_RECORD_BYTES):
        if isinstance(element, json_array.Broken):
            yield place, element.message
        else:
            yield place, element if isinstance(element, dict) else _NO_OBJECT


def _json_lines(handle: Any, start: int, stop: int | None) -> Iterator[Line]:
    """The lines that begin at byte `start` or later and before `stop`."""
    place = start
    if start > 0:
        handle.seek(start - 1)
        place = start - 1 + sum(len(piece) for piece in _line(handle))
    while stop is None or place < stop:
        pieces = _line(handle)
        first = next(pieces, b"")
        if not first:
            return
        rest = sum(len(piece) for piece in pieces)
        if rest:
            yield place, f"line of {len(first) + rest} bytes is above the limit of {captions.MAX_RECORD_BYTES}; {_FIX}"
        elif line := (first.removeprefix(b"\xef\xbb\xbf") if place == 0 else first).strip():
            yield place, _record(line)
        place += len(first) + rest


def _line(handle: Any) -> Iterator[bytes]:
    """A line, in pieces that fit into memory."""
    while piece := handle.readline(captions.MAX_RECORD_BYTES):
        yield piece
        if piece.endswith(b"\n"):
            return


_NO_OBJECT = "not a JSON object"
_FIX = "name large images by URI, or write them to Parquet"


def _record(line: bytes) -> Mapping[str, Any] | str:
    try:
        record = captions.parse(line)
    except ValueError as error:
        return str(error)
    return record if isinstance(record, dict) else _NO_OBJECT
