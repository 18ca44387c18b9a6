"""Makes tar members as bytes and writes many of them at once. `tarfile` takes eight times as long for a header."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Sequence
from typing import BinaryIO

from pipeline.fileformats.tar import BLOCK

END = bytes(2 * BLOCK)
"""the end mark of a tar"""
_PARTS_AT_ONCE = os.sysconf("SC_IOV_MAX")


def member(name: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, data and padding of a file. The name has at most 100 bytes."""
    return _header(name, len(data)), data, bytes(-len(data) % BLOCK)


def append(file: BinaryIO, parts: Sequence[bytes]) -> None:
    """Writes many parts per call, because a call takes longer than copying a small part, and blocks other threads.

    `file` must be open for appending, with an empty buffer.
    """
    for first in range(0, len(parts), _PARTS_AT_ONCE):
        some = parts[first : first + _PARTS_AT_ONCE]
        written = os.writev(file.fileno(), some)
        if written < sum(map(len, some)):  # usually the disk is full, and writing the rest raises the error
            file.write(b"".join(some)[written:])
            file.flush()


_UNNAMED = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_MODE_AND_OWNER, _TIME, _TYPE_AND_REST = _UNNAMED[100:124], _UNNAMED[136:148], _UNNAMED[156:]
_SUM = sum(_MODE_AND_OWNER) + sum(_TIME) + sum(_TYPE_AND_REST) + 8 * ord(" ")


def _header(name: bytes, size: int) -> bytes:
    """The header that `tarfile` makes for a plain file of this name. Only name, size and checksum vary."""
    assert len(name) <= 100, name
    digits = b"%011o\0" % size
    checksum = b"%06o\0 " % (_SUM + sum(name) + sum(digits))
    return b"".join((name.ljust(100, b"\0"), _MODE_AND_OWNER, digits, _TIME, checksum, _TYPE_AND_REST))
