"""Checks captions from a file, a JSON record or a column: a caption is a UTF-8 text of at most one megabyte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.fileformats import text
from pipeline.sample import Reject
from pipeline.sources import field_names

MAX_BYTES = 1 << 20
"""Limit of one caption. A model uses 64 tokens at most, and tokenizing a megabyte takes half a second."""
MAX_RECORD_BYTES = 16 << 20
"""limit of one JSON record, which has other fields beside its captions"""

Caption = tuple[str | None, Reject | None]


def from_text(data: bytes, name: str) -> Caption:
    """The caption of a text file: its content without a byte order mark and without surrounding white space.

    It is UTF-8, unless a byte order mark says UTF-16 or UTF-32.
    """
    try:
        content = data.decode(text.encoding(data))
    except UnicodeError as error:
        return None, _bad(name, _not_unicode(error))
    caption, reject = checked(content, name)
    return (caption if caption is None else caption.strip()), reject


def field_of(record: Mapping[str, Any], where: str) -> str | None:
    """The field of a JSON record with its captions, by its name: a text, a list of texts, or null.

    Raises:
        InputError: several fields can be the captions.
    """
    return field_names.CAPTIONS.only([name for name, value in record.items() if _can_be_captions(value)], where)


def _can_be_captions(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(item is None or isinstance(item, str) for item in values)


def from_json(data: bytes, name: str, field: str) -> list[Caption]:
    """The captions of a JSON record, at least one entry. The field is a text or a list of texts."""
    try:
        record = parse(data)
    except ValueError as error:
        return [(None, _bad(name, str(error)))]
    value = record.get(field) if isinstance(record, dict) else None
    values = (value or [None]) if isinstance(value, list) else [value]
    whose = f"{name}: its {field!r}"
    return [checked(item, whose if item is not None and not isinstance(item, str) else name) for item in values]


def parse(data: bytes) -> object:
    """The value of a JSON text.

    Raises:
        ValueError: it is not UTF-8 (or what its byte order mark says), not JSON, too long, or nested too deeply.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise ValueError(f"record of {len(data)} bytes is above the limit of {MAX_RECORD_BYTES}")
    try:
        return json.loads(data.decode(text.encoding(data)))
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error


def checked(value: object, where: str) -> Caption:
    """The value as a caption, or a reject that says why it cannot be one."""
    if value is None:
        return None, None
    if not isinstance(value, str | bytes):
        return None, _bad(where, "is neither a text nor a list of texts")
    try:
        caption = value.decode() if isinstance(value, bytes) else value
        size = len(caption.encode())
    except UnicodeError as error:  # JSON can contain half of a surrogate pair as an escape
        return None, _bad(where, _not_unicode(error))
    return (caption, None) if size <= MAX_BYTES else (None, too_long(where, size))


def too_long(where: str, size: int) -> Reject:
    return Reject("read", "caption-too-long", f"{where}: caption of {size} bytes is above the limit of {MAX_BYTES}")


def _bad(where: str, message: str) -> Reject:
    return Reject("read", "bad-caption", f"{where}: {message}")


def _not_unicode(error: UnicodeError) -> str:
    return f"the caption is not UTF-8, so save its file as UTF-8 ({error})"
