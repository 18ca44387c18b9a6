"""Reads the rows of CSV and TSV, a line at a time, so that a wrong quote costs its own row and no other.

CSV is read as RFC 4180 says. A quoted field can contain delimiters and line breaks, and ends at its closing quote. A
quote elsewhere in a field is text.

TSV has no quoting: a quote is text. Two kinds of files are still read as they were written, because no other reading
makes rows of them. If the names of the header are quoted, quotes mean what they mean in CSV. And a field is read as
quoted if it is quoted by the rules of CSV, and had to be: because of a delimiter, a line break or a quote inside it.

A quote that was meant as text can open a field that runs on over the rows after it. Such a field is recognised by what
it has swallowed: lines that are rows themselves. Then only the row with the quote is lost, and the others are read.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

Row = list[str] | str
"""the fields of a row, or the reason why it has none"""
MAX_FIELDS = 1 << 16
"""limit for one row"""
TAB = "\t"

_STATED = re.compile(r'"?sep=(.)"?')
"""the line with which Excel states the delimiter of the file"""
_ENDS = "\r\n"
_BREAK = re.compile("\r\n|\r|\n")


class Table:
    """The header of a file, and its rows. Blank lines are ignored.

    `header` is empty if the file is; `problem` says why it cannot be read.
    """

    def __init__(
        self,
        text: TextIO,
        delimiter: str,
        max_bytes: int,
        is_row: Callable[[Sequence[str]], bool],
        header: Sequence[str] | None = None,
    ) -> None:
        """
        Args:
            text: the file, opened with `newline=""`.
            delimiter: used unless the first line states another.
            max_bytes: limit for one row.
            is_row: whether fields that stand on a line inside of a quoted field look like those of a row of this file.
            header: the names of the fields, if the first line is a row and not a header.
        """
        csv.field_size_limit(max_bytes)
        self.delimiter = delimiter
        self._max_bytes = max_bytes
        self._is_row = is_row
        self._lines = _Lines(text, max_bytes)
        self._spaced = False
        self._quoting = True
        self.header = list(header or [])
        self.problem: str | None = None
        if header is None:
            self._read_header()
        else:
            self._quoting = delimiter != TAB

    def __iter__(self) -> Iterator[Row]:
        for line in self._lines:
            if isinstance(line, int):
                yield f"line of {line} characters is above the limit of {self._max_bytes}; name large images by URI"
            elif line.strip(_ENDS):
                yield self._row(line)

    def _read_header(self) -> None:
        first = self._first_line()
        if isinstance(first, str) and (stated := _STATED.fullmatch(first.strip(_ENDS))):
            self.delimiter = stated[1]
            first = self._first_line()
        if isinstance(first, int) or first.count(self.delimiter) >= MAX_FIELDS:
            self.problem = f"the header has more than {MAX_FIELDS} fields or {self._max_bytes} characters"
            return
        names = first.strip(_ENDS).split(self.delimiter)
        self._quoting = self.delimiter != TAB or all(len(n) > 1 and n[0] == n[-1] == '"' for n in names)
        self._spaced = len(names) > 1 and all(name.startswith(" ") for name in names[1:])
        if self._quoting:
            found, _ = self._by_quotes(first)
            if isinstance(found, str):
                self.problem = f"the header: {found}"
                return
            names = found
        self.header = [name.strip() for name in names]

    def _first_line(self) -> str | int:
        return next((line for line in self._lines if isinstance(line, int) or line.strip(_ENDS)), "")

    def _row(self, line: str) -> Row:
        if '"' not in line:
            return self._even(line)
        if not self._quoting:
            return self._unquoted(line)
        row, taken = self._by_quotes(line)
        if isinstance(row, str):
            swallows = any(self._alone(each) is not None for each in taken[1:])
        else:
            swallows = self._swallows(row, taken)
        if swallows:
            self._lines.put_back(taken[1:])
            return (
                "a quote opens a field that runs on over the rows after it; close it, or write it twice inside quotes"
            )
        return row if isinstance(row, str) else self._counted(row)

    def _unquoted(self, line: str) -> Row:
        """The row of a line of a TSV that has quotes."""
        plain = self._even(line)
        if not line.startswith('"') and f'{TAB}"' not in line:
            return plain
        row, taken = self._by_quotes(line)
        if not isinstance(row, str) and len(row) == len(self.header):
            if len(taken) > 1:
                if not self._swallows(row, taken):
                    return row
            elif isinstance(plain, str):
                return row
            else:
                return [field if '""' in raw[1:-1] else raw for raw, field in zip(plain, row, strict=True)]
        self._lines.put_back(taken[1:])
        return plain

    def _swallows(self, row: Sequence[str], taken: Sequence[str]) -> bool:
        """Whether a quoted field of several lines holds what looks like other rows, or parts of them."""
        inside = next((lines for lines in map(_BREAK.split, row) if len(lines) == len(taken) > 1), None)
        if inside is None:
            return False
        even = [line.count(self.delimiter) + 1 == len(self.header) or self._alone(line) is not None for line in taken]
        if not self._is_row(row):  # the number of fields is all there is to go by
            return all(even)
        return any(
            is_even and self._is_row(part.split(self.delimiter)) for is_even, part in zip(even, inside, strict=True)
        )

    def _by_quotes(self, line: str) -> tuple[Row, list[str]]:
        """(the row that begins in a line by the rules of CSV, the lines that it takes)."""
        taken: list[str] = []

        def more() -> Iterator[str]:
            size = len(line)
            ahead: str | int | None = line
            while isinstance(ahead, str) and size <= self._max_bytes:
                taken.append(ahead)
                yield ahead
                ahead = next(self._lines, None)
                size += len(ahead) if isinstance(ahead, str) else 0
            if ahead is not None:
                self._lines.put_back([ahead])

        if line.count(self.delimiter) >= MAX_FIELDS:
            return f"more than {MAX_FIELDS} fields", [line]
        try:
            return next(self._reader(more()), []), taken
        except csv.Error as error:
            if "expected after" in str(error):
                return "text follows the closing quote of a field; write a quote inside quotes twice", taken
            return "a quoted field is not closed before the end", taken

    def _alone(self, line: str) -> Sequence[str] | None:
        """The fields of a line by itself, if they are as many as the header's."""
        if not line.strip(_ENDS):
            return None
        try:
            row = next(self._reader([line])) if self._quoting else self._even(line)
        except csv.Error:
            return None
        return row if not isinstance(row, str) and len(row) == len(self.header) else None

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self._spaced)

    def _even(self, line: str) -> Row:
        """The row of a line without quoting."""
        count = line.count(self.delimiter) + 1
        if count != len(self.header):
            return self._uneven(count)
        fields = line.rstrip(_ENDS).split(self.delimiter)
        return [field.lstrip(" ") for field in fields] if self._spaced else fields

    def _counted(self, fields: list[str]) -> Row:
        return fields if len(fields) == len(self.header) else self._uneven(len(fields))

    def _uneven(self, count: int) -> str:
        return f"{count} fields, but the header has {len(self.header)}"


class _Lines:
    """The lines of a text with their ends. A line above the limit is its number of characters instead."""

    def __init__(self, text: TextIO, max_characters: int) -> None:
        self._text = text
        self._most = max_characters
        self._waiting: deque[str | int] = deque()

    def __iter__(self) -> Iterator[str | int]:
        return self

    def __next__(self) -> str | int:
        if self._waiting:
            return self._waiting.popleft()
        line = self._text.readline(self._most)
        if not line:
            raise StopIteration
        if len(line) < self._most or line.endswith(("\r", "\n")):
            return line
        size = len(line)
        while piece := self._text.readline(self._most):
            size += len(piece)
            if piece.endswith(("\r", "\n")):
                break
        return size

    def put_back(self, lines: Sequence[str | int]) -> None:
        self._waiting.extendleft(reversed(lines))
