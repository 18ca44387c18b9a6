"""Text of a file in UTF-8, UTF-16 or UTF-32, as its byte order mark says."""

from __future__ import annotations

import codecs
import io
from typing import Any

ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""UTF-32's mark comes before that of UTF-16, which it begins with."""
MARK_BYTES = 4
"""the most bytes that a byte order mark has"""
_UNMARKED: dict[tuple[bool, ...], str] = {
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
"""by which of the first bytes are zero"""


def encoding(head: bytes) -> str:
    """The encoding of a text that begins with these bytes.

    Without a byte order mark it is UTF-8, unless every second byte is zero, as for the first letters of UTF-16.
    """
    marked = next((name for mark, name in ENCODINGS if head.startswith(mark)), None)
    if marked is not None:
        return marked
    zeros = tuple(byte == 0 for byte in head[:4])
    return _UNMARKED.get(zeros, "utf-8")


def lines(handle: Any, head: bytes) -> io.TextIOWrapper:
    """The text of a file from its start, where `head` is, with the line ends that it has.

    Bytes that are not of its encoding become lone surrogates, so that they affect only the field that has them.
    """
    name = encoding(head)
    return io.TextIOWrapper(handle, name, "surrogateescape" if name.startswith("utf-8") else _ESCAPE, newline="")


def _escape(error: UnicodeError) -> tuple[str, int]:
    """As `surrogateescape`, which takes no bytes below 128."""
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end


_ESCAPE = "siglane-surrogates"
codecs.register_error(_ESCAPE, _escape)
