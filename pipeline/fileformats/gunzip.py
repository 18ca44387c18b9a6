"""Unpacks gzip to a file, with a limit on its size."""

from __future__ import annotations

import gzip
import zlib
from typing import BinaryIO

MAGIC = b"\x1f\x8b"
MAX_RATIO = 20
"""Photos hardly compress. A file is a decompression bomb if it unpacks to more than this many times its size, and to
more than MAX_SMALL bytes."""
MAX_SMALL = 1 << 30


def unpack(packed: BinaryIO, unpacked: BinaryIO, size: int) -> str | None:
    """Unpacks all members of a gzip file of `size` bytes. Returns a description of the damage, or None.

    The bytes unpacked before the damage are written. Zeros after a member are padding, as in gzip.

    Raises:
        OSError: `packed` cannot be read, or `unpacked` cannot be written.
    """
    limit = max(MAX_SMALL, MAX_RATIO * size)
    written = 0
    packed.seek(0)
    with gzip.GzipFile(fileobj=packed, mode="rb") as members:
        try:
            # A call that fails loses what it had unpacked. read1 loses little, as it returns after a few kilobytes.
            while piece := members.read1():
                if written + len(piece) > limit:
                    return f"the gzip unpacks to more than {limit} bytes; the rest is not read"
                unpacked.write(piece)
                written += len(piece)
        except EOFError:
            return f"the gzip stream is cut off after {written} bytes"
        except (gzip.BadGzipFile, zlib.error) as error:
            return f"the gzip stream is damaged after {written} bytes: {error}"
    return None
