"""Unpacking gzip to a file, within bounds."""

from __future__ import annotations

import zlib
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
READ_BYTES = 1 << 20
MAX_RATIO = 20
"""Photos hardly shrink. What unpacks to more than this, and to more than MAX_SMALL, is a bomb."""
MAX_SMALL = 1 << 30


def unpack(packed: BinaryIO, unpacked: BinaryIO, size: int) -> str | None:
    """Unpacks all members of a gzip file of `size` bytes; gives what was wrong with it, if anything.

    What could be unpacked before the fault is written. Padding of zeros after the last member is allowed, as gzip does.
    """
    limit = max(MAX_SMALL, MAX_RATIO * size)
    written = 0
    packed.seek(0)
    data = packed.read(READ_BYTES)
    while data:  # a member of the gzip file
        decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        while not decoder.eof:
            try:
                piece = decoder.decompress(data, READ_BYTES) if data else decoder.flush()
            except zlib.error as error:
                return f"the gzip stream breaks off after {written} bytes: {error}"
            written += len(piece)
            if written > limit:
                return f"gzip that unpacks to more than {limit} bytes; the rest is not read"
            unpacked.write(piece)
            if not (data or decoder.eof):
                return f"the gzip stream ends after {written} bytes, before its own end"
            data = decoder.unconsumed_tail or packed.read(READ_BYTES) if not decoder.eof else b""
        data = _next_member(packed, decoder.unused_data)
    return None


def _next_member(packed: BinaryIO, rest: bytes) -> bytes:
    """What follows a member of a gzip file, without padding."""
    rest = rest.lstrip(b"\0")
    while not rest and (more := packed.read(READ_BYTES)):
        rest = more.lstrip(b"\0")
    return rest
