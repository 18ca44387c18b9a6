"""Unpacks gzip, bzip2, xz and zstd, with limits on what they may unpack to. What comes before damage is not lost."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from pipeline.fileformats import sniff

SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
"""of the kinds, in the terms of `pipeline.fileformats.sniff`"""
KINDS = frozenset(SUFFIXES.values())
IMAGE_RATIO = 20
"""Photos hardly compress. A file is a decompression bomb if it unpacks to more than this many times its size, and to
more than MAX_SMALL bytes."""
TEXT_RATIO = 200
MAX_SMALL = 1 << 30

_PACKED_AT_ONCE, _UNPACKED_AT_ONCE = 1 << 14, 1 << 17
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
"""the starts of a block and of the end"""
_XZ_MEMORY = 256 << 20
"""limit for the dictionary of xz, which a file can state to be 4 GiB; the strongest preset needs 65 MiB"""


def unpack(packed: BinaryIO, unpacked: BinaryIO, kind: str, limit: int) -> str | None:
    """Unpacks a complete file. Returns a description of the damage, or None.

    The bytes unpacked before the damage are written. Zeros between and after members are padding, as in gzip.

    Raises:
        OSError: `packed` cannot be read, or `unpacked` cannot be written.
    """
    stream = Unpacked(packed, kind, limit)
    while piece := stream.piece():
        unpacked.write(piece)
    return stream.problem


def kind(head: bytes) -> str | None:
    """The kind of a packed file by its first bytes; None for other files, and for texts that begin like one."""
    found = sniff.kind(head)
    if found not in KINDS or (found == "bzip2" and not head.startswith(_BZIP2_BLOCKS, len(b"BZh9"))):
        return None
    return found


def limit(size: int, ratio: int) -> int:
    """The most bytes that a file of `size` bytes may unpack to."""
    return max(MAX_SMALL, ratio * size)


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a file, from its start. They end where damage or the limit does."""

    problem: str | None = None
    """a description of the damage, once it is reached"""

    def __init__(self, packed: Any, kind: str, limit: int) -> None:
        packed.seek(0)
        self._pieces = _zstd(packed) if kind == "zstd" else _members(packed, _DECOMPRESSORS[kind])
        self._kind = kind
        self._limit = limit
        self.written = 0
        """bytes unpacked so far"""
        self._left = b""

    def piece(self) -> bytes:
        """The next bytes, at least one; none at the end."""
        if self.problem is not None:
            return b""
        try:
            piece = next(self._pieces, b"")
        except EOFError:
            self.problem = f"the {self._kind} stream is cut off after {self.written} bytes"
            return b""
        except _DamageError as error:
            self.problem = f"the {self._kind} stream is damaged after {self.written} bytes: {error}"
            return b""
        if self.written + len(piece) > self._limit:
            self.problem = f"the {self._kind} unpacks to more than {self._limit} bytes; the rest is not read"
            return b""
        self.written += len(piece)
        return piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or self.piece()
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


class _DamageError(Exception):
    """The bytes cannot be unpacked from here on."""


class _Decompressor(Protocol):
    """The interface that `bz2` and `lzma` share."""

    def decompress(self, data: bytes, max_length: int) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...


class _Gzip:
    """One member of a gzip file. A call that fails is repeated a byte at a time, so that none before it is lost."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._waiting = b""
        self._error: zlib.error | None = None

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return self._error is None and not self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._error is not None:
            raise self._error
        data = self._waiting + data
        before = self._inner.copy()
        try:
            unpacked = self._inner.decompress(data, max_length)
            self._waiting = self._inner.unconsumed_tail
        except zlib.error as error:
            self._error = error
            unpacked = b"".join(_until_damage(before, data))
        return unpacked


def _until_damage(inner: Any, data: bytes) -> Iterator[bytes]:
    for byte in data:
        try:
            yield inner.decompress(bytes([byte]))
        except zlib.error:
            return


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY),
}


def _members(packed: Any, decompressor: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """The unpacked bytes of all members of a file.

    Raises:
        EOFError: the last member is cut off.
        _DamageError: a member is damaged.
    """
    data = b""
    while data := data.lstrip(b"\0") or _after_zeros(packed):
        member = decompressor()
        while not member.eof:
            if member.needs_input and not data and not (data := packed.read(_PACKED_AT_ONCE)):
                raise EOFError
            try:
                piece = member.decompress(data, _UNPACKED_AT_ONCE)
            except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
                raise _DamageError(str(error)) from error
            data = b""
            if piece:
                yield piece
        data = member.unused_data


def _after_zeros(packed: Any) -> bytes:
    while data := packed.read(_PACKED_AT_ONCE):
        if some := data.lstrip(b"\0"):
            return bytes(some)
    return b""


def _zstd(packed: Any) -> Iterator[bytes]:
    """As `_members`, for zstd, which Python's standard library does not have yet."""
    written = 0
    try:
        for piece in _zstd_pieces(packed, _UNPACKED_AT_ONCE):
            yield piece
            written += len(piece)
    except (EOFError, _DamageError):
        # The call that fails has lost what it had unpacked: unpack again, and from there on a byte at a time.
        packed.seek(0)
        yield from _zstd_pieces(packed, 1, written)


def _zstd_pieces(packed: Any, size: int, skipped: int = 0) -> Iterator[bytes]:
    """The unpacked bytes after the first `skipped`, `size` at once.

    Raises:
        EOFError: the last frame is cut off.
        _DamageError: a frame is damaged.
    """
    try:
        stream = pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd")
        while skipped and (piece := stream.read(min(_UNPACKED_AT_ONCE, skipped))):
            skipped -= len(piece)
        while piece := stream.read(size):
            yield piece
    except OSError as error:
        if error.errno is not None:  # the file's own error; Arrow's have no number
            raise
        if "Truncated" in str(error):
            raise EOFError from error
        raise _DamageError(str(error)) from error
