"""Members of a tar as bytes, and many of them written at once: `tarfile` takes eight times as long for a header."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from typing import BinaryIO

from pipeline.fileformats.tar import BLOCK

END = bytes(2 * BLOCK)
"""what a tar ends with"""
_PARTS_AT_ONCE = os.sysconf("SC_IOV_MAX")


def member(name: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, data and padding of a file of this name, of at most 100 bytes."""
    return _header(name, len(data)), data, bytes(-len(data) % BLOCK)


def append(file: BinaryIO, parts: Sequence[bytes]) -> None:
    """Many at a time: each call takes longer than the copying of a small part, and lets no other thread run.

    `file` is open for appending, with nothing in its buffer.
    """
    for first in range(0, len(parts), _PARTS_AT_ONCE):
        some = parts[first : first + _PARTS_AT_ONCE]
        written = os.writev(file.fileno(), some)
        if written < sum(map(len, some)):  # mostly because the disk is full: writing the rest raises that
            file.write(b"".join(some)[written:])
            file.flush()


_UNNAMED = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_MODE_AND_OWNER, _TIME, _TYPE_AND_REST = _UNNAMED[100:124], _UNNAMED[136:148], _UNNAMED[156:]
_SUM = sum(_MODE_AND_OWNER) + sum(_TIME) + sum(_TYPE_AND_REST) + 8 * ord(" ")


def _header(name: bytes, size: int) -> bytes:
    """What `tarfile` makes for a plain file of this name: all but name, size and checksum is always the same."""
    assert len(name) <= 100, name
    digits = b"%011o\0" % size
    checksum = b"%06o\0 " % (_SUM + sum(name) + sum(digits))
    return b"".join((name.ljust(100, b"\0"), _MODE_AND_OWNER, digits, _TIME, checksum, _TYPE_AND_REST))
