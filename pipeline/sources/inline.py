"""Images that a list holds as text: `data:` URIs, and base64 alone."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from pipeline.fileformats import sniff
from pipeline.sample import MAX_IMAGE_BYTES

MAX_PATH = 4096
"""A longer text names no file, on any system."""

_HEAD = 128
_JPEG = b"\xff\xd8\xff"
"""longer than what `sniff` asks for: in base64 it is `/9j/`, which could begin a path"""
_ALPHABET = re.compile(r"[A-Za-z0-9+/_=\s-]+")
_BLANK = re.compile(r"\s+")
_URL_SAFE = str.maketrans("-_", "+/")


class TooLongError(ValueError):
    """The text is of more bytes than an image may have; it was not decoded."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


def is_image(text: str) -> bool:
    """Whether a text is an image rather than the address of one."""
    if text[:5].lower() == "data:":
        return True
    head = text[: MAX_PATH + 1 if len(text) > MAX_PATH else _HEAD].strip()
    if not _ALPHABET.fullmatch(head):
        return False
    return len(head) > MAX_PATH or _starts_an_image(head)


def text_of(data: bytes) -> str | None:
    """The text of an image that is written as one, although its column has bytes; None for all other bytes."""
    try:
        head = data[:_HEAD].decode("ascii")
        if head[:5].lower() == "data:" or (_ALPHABET.fullmatch(head) and _starts_an_image(head)):
            return data.decode("ascii")
    except UnicodeDecodeError:
        pass
    return None


def decoded(text: str) -> bytes:
    """The bytes of an image that `is_image`.

    Raises:
        TooLongError: it has more bytes than an image may have.
        ValueError: it is not complete.
    """
    if text[:5].lower() != "data:":
        return _of_base64(text)
    start = text.find(",", 0, MAX_PATH) + 1
    if not start:
        raise ValueError("a data URI needs a comma before its data")
    if text[:start].lower().endswith(";base64,"):
        return _of_base64(text, start)
    _refuse_longer((len(text) - start) // 3)  # each byte may be written as %XX
    return unquote_to_bytes(text[start:])


def _of_base64(text: str, start: int = 0) -> bytes:
    _refuse_longer((len(text) - start) * 3 // 4)
    digits = text[start:]
    if "%" in digits:
        digits = unquote_to_bytes(digits).decode("ascii", "replace")
    digits = _BLANK.sub("", digits).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not valid base64: {error}") from error


def _starts_an_image(head: str) -> bool:
    digits = _BLANK.sub("", head).translate(_URL_SAFE).rstrip("=")
    try:
        start = base64.b64decode(digits[: len(digits) // 4 * 4])
    except (binascii.Error, ValueError):
        return False
    kind = sniff.kind(start)
    return kind in sniff.IMAGES and (kind != "JPEG" or start.startswith(_JPEG))


def _refuse_longer(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise TooLongError(size)
