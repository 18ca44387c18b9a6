"""Unpacking gzip to a file, within bounds."""

from __future__ import annotations

import gzip
import zlib
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
MAX_RATIO = 20
"""Photos hardly shrink. What unpacks to more than this, and to more than MAX_SMALL, is a bomb."""
MAX_SMALL = 1 << 30


def unpack(packed: BinaryIO, unpacked: BinaryIO, size: int) -> str | None:
    """Unpacks all members of a gzip file of `size` bytes; returns what was wrong with it, if anything.

    What was unpacked before the fault is written. Zeros after a member are padding, as for gzip.

    Raises:
        OSError: `packed` cannot be read, or `unpacked` cannot be written.
    """
    limit = max(MAX_SMALL, MAX_RATIO * size)
    written = 0
    packed.seek(0)
    with gzip.GzipFile(fileobj=packed, mode="rb") as members:
        try:
            # What a call has unpacked before it fails is lost: read1 returns after a few kilobytes.
            while piece := members.read1():
                if written + len(piece) > limit:
                    return f"gzip that unpacks to more than {limit} bytes; the rest is not read"
                unpacked.write(piece)
                written += len(piece)
        except EOFError:
            return f"the gzip stream ends after {written} bytes, before its own end"
        except (gzip.BadGzipFile, zlib.error) as error:
            return f"the gzip stream breaks off after {written} bytes: {error}"
    return None
