"""What a caption may be: a text in UTF-8 of at most a megabyte, from a file, a JSON record or a column."""

from __future__ import annotations

import json

from pipeline.sample import Reject

MAX_BYTES = 1 << 20
"""Of one caption. A model sees 64 tokens at most, and tokenizing a megabyte takes half a second."""
MAX_RECORD_BYTES = 16 << 20
"""of one JSON record, which holds more than its captions"""

Caption = tuple[str | None, Reject | None]


def from_text(data: bytes, name: str) -> Caption:
    """The caption of a text file: all of it, less a byte order mark and the space around it."""
    caption, reject = checked(data.removeprefix(b"\xef\xbb\xbf"), name)
    return (caption if caption is None else caption.strip()), reject


def from_json(data: bytes, name: str, field: str) -> list[Caption]:
    """The captions of a JSON record, at least one entry: its field is a text, or a list of texts."""
    try:
        record = parse(data)
    except ValueError as error:
        return [(None, _bad(name, str(error)))]
    value = record.get(field) if isinstance(record, dict) else None
    values = (value or [None]) if isinstance(value, list) else [value]
    whose = f"{name}: its {field!r}"
    return [checked(item, whose if item is not None and not isinstance(item, str) else name) for item in values]


def parse(data: bytes) -> object:
    """A JSON text's value.

    Raises:
        ValueError: it is not UTF-8, not JSON, too long, or nested too deep.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(data)} bytes, more than the limit of {MAX_RECORD_BYTES}")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("lists nested too deep") from error


def checked(value: object, where: str) -> Caption:
    """A value as a caption, or why it is none."""
    if value is None:
        return None, None
    if not isinstance(value, str | bytes):
        return None, _bad(where, "neither a text nor a list of texts")
    try:
        text = value.decode() if isinstance(value, bytes) else value
        size = len(text.encode())
    except UnicodeError as error:  # JSON may escape half of a surrogate pair
        return None, _bad(where, str(error))
    return (text, None) if size <= MAX_BYTES else (None, too_long(where, size))


def too_long(where: str, size: int) -> Reject:
    return Reject("read", "caption-too-long", f"{where}: a caption of {size} bytes, more than the limit of {MAX_BYTES}")


def _bad(where: str, message: str) -> Reject:
    return Reject("read", "bad-caption", f"{where}: {message}")
