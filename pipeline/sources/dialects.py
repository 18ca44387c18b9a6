"""Recognises how a text lists images: what separates its fields, and whether its first line is a header.

A first line is a header if it has a name that a field of images or URIs can have. It is a row if one of its fields is
the URI or the file name of an image. A list without a header gets names: `url` for the field with URIs, or `file_name`,
and `caption` for the other one if there are two. Of more fields the others are named by their number, from 1.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.sample import IMAGE_SUFFIXES
from pipeline.sources import field_names

SEPARATORS = (",", "\t", ";", "|")
LINES_LOOKED_AT = 20
URI, FILE_NAME, CAPTION = "url", "file_name", "caption"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S")
_NUMBERED = re.compile(rf"\S.*({'|'.join(map(re.escape, IMAGE_SUFFIXES))})(\.\d+)?#\d+$", re.IGNORECASE)
"""the name of an image with the number of its caption, as in Flickr8k.token.txt"""
_STATED = re.compile(r'"?sep=(.)"?')
"""the line with which Excel states what separates the fields"""


@dataclass(frozen=True)
class Dialect:
    separator: str
    names: tuple[str, ...] | None = None
    """the names of the fields of a list without a header"""
    numbered: str | None = None
    """the field whose values are names of images with `#` and a number behind them"""


def of_list(lines: Sequence[str], separator: str | None, usual: str, named: Collection[str], where: str) -> Dialect:
    """The dialect of a list.

    Args:
        lines: the first lines.
        separator: what separates the fields, if the user says it.
        usual: what separates fields in files with this suffix. It is preferred.
        named: the fields that the user names.
        where: the file, for errors.

    Raises:
        InputError: there are two ways to read it.
    """
    preferred = usual if separator is None else separator
    others = [mark for mark in SEPARATORS if mark != usual] if separator is None else []
    found = _of_lines(lines, [preferred], named, where) or _of_lines(lines, others, named, where)
    return found or Dialect(preferred)


def _of_lines(lines: Sequence[str], separators: Sequence[str], named: Collection[str], where: str) -> Dialect | None:
    """The dialect of a list; None if with none of the separators its first lines are a header or rows."""
    lines = [line.rstrip("\r\n") for line in lines if line.strip()][:LINES_LOOKED_AT]
    if not lines:
        return None
    if stated := _STATED.fullmatch(lines[0]):
        return Dialect(stated[1])
    found = [dialect for mark in separators if (dialect := _with(lines, mark, named)) is not None]
    if len(found) > 1:
        marks = " and ".join(repr(dialect.separator) for dialect in found)
        raise InputError(f"{where}: {marks} can both separate its fields; say which with --separator")
    return found[0] if found else None


def _with(lines: Sequence[str], separator: str, named: Collection[str]) -> Dialect | None:
    rows = [_fields(line, separator) for line in lines]
    first = rows[0]
    if len(first) < 2:
        return None
    places = [place for place, field in enumerate(first) if _is_image(field)]
    if not places:
        known = set(field_names.URIS.among(first)) | set(field_names.IMAGES.among(first)) | set(named)
        return Dialect(separator) if known.intersection(field.strip() for field in first) else None
    place = next((place for place in places if all(_is_image(_at(row, place)) for row in rows)), None)
    if place is None:
        return None
    others = [CAPTION] if len(first) == 2 else [str(number + 1) for number in range(len(first)) if number != place]
    name = URI if _URI.match(first[place]) else FILE_NAME
    names = (*others[:place], name, *others[place:])
    is_numbered = all(_NUMBERED.match(_at(row, place)) for row in rows)
    return Dialect(separator, names, name if is_numbered else None)


def _fields(line: str, separator: str) -> list[str]:
    try:
        fields = next(csv.reader([line], delimiter=separator)) if separator != "\t" else line.split(separator)
    except csv.Error:
        fields = line.split(separator)
    return [field.strip().strip('"') for field in fields]


def _at(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _is_image(field: str) -> bool:
    field = field.strip()
    is_file_name = " " not in field and field.lower().endswith(IMAGE_SUFFIXES)
    return is_file_name or bool(_URI.match(field) or _NUMBERED.match(field))


def has_image(fields: Sequence[str]) -> bool:
    """Whether a field looks like the address of an image."""
    return any("://" in field or field.lower().endswith(IMAGE_SUFFIXES) for field in map(str.strip, fields))


def without_number(value: str) -> str:
    """The name of an image without the number of its caption."""
    return value.rpartition("#")[0] or value
