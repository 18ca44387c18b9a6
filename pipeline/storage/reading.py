"""Reads a file's bytes. Local files are opened directly. Other files are fetched one range at a time, with retries.

So a read that breaks in the middle of a file continues where it broke, and memory is bounded for files of any size.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pipeline.errors import InputError, StorageError
from pipeline.storage.filesystems import HTTP_PROTOCOLS, is_local, locate, protocol_of
from pipeline.storage.redaction import redact
from pipeline.storage.retries import AbsentError, Failure, TruncatedError, failure_of, patiently

RANGE_BYTES = 8 << 20
"""size of a fetched range; each open file keeps one in memory"""
STREAMED_BYTES = 1 << 20
"""the most bytes to read at once from a web server's answer"""


class NoRangesError(StorageError):
    """A web server sends only complete files, not ranges."""


class TooLargeError(ValueError):
    """A file has more bytes than allowed."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


def open_file(uri: str) -> Any:
    """Opens a file for reading bytes, also at random.

    Raises:
        AbsentError: the file does not exist.
        InputError: the file may not be read.
        StorageError: its store refuses access, or still failed after retries. Reading raises it too.
    """
    filesystem, path = locate(uri)
    if not is_local(filesystem):
        return io.BufferedReader(_RangeReader(filesystem, path, uri), RANGE_BYTES)
    try:
        return filesystem.open(path, "rb")
    except (OSError, UnicodeEncodeError) as error:
        failure = failure_of(error)
        if failure not in (Failure.ABSENT, Failure.REFUSED):
            raise
        kind = AbsentError if failure is Failure.ABSENT else InputError
        why = getattr(error, "strerror", None) or error
        raise kind(f"{uri}: {why}; do not change the input until the run ends") from error


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """The file on local disk, to read at random and more than once: the file itself, or a copy for the block.

    Raises:
        InputError: the file does not exist, or may not be read.
        StorageError: its store refuses access, or still failed after retries.
    """
    filesystem, path = locate(uri)
    if is_local(filesystem):
        yield Path(path)
        return
    with NamedTemporaryFile(prefix="siglane-") as copy:
        try:
            with open_file(uri) as file:
                shutil.copyfileobj(file, copy, RANGE_BYTES)
        except NoRangesError:
            patiently(uri, lambda: filesystem.get_file(path, copy.name))
        copy.flush()
        yield Path(copy.name)


def read_bytes(uri: str, most: int | None = None, use: str = "input") -> bytes:
    """All bytes of a small file.

    `use`: what it is for, as in `locate`.

    Raises:
        TooLargeError: the file has more than `most` bytes. A local file is then not read at all; of a file on a web
            server, little more than `most` bytes are read.
        InputError: the file does not exist, or may not be read.
        StorageError: its store refuses access, or still failed after retries.
    """
    filesystem, path = locate(uri, use)
    if is_local(filesystem):
        with open_file(uri) as file:
            _refuse_larger(file.seek(0, io.SEEK_END), most)
            file.seek(0)
            data: bytes = file.read()
    else:
        data = patiently(uri, lambda: _fetched(filesystem, path, most))
    _refuse_larger(len(data), most)
    return data


def _fetched(filesystem: Any, path: str, most: int | None) -> bytes:
    """All bytes of an object. From a web server, which may send without end, not much more than `most` bytes."""
    if most is None or protocol_of(path) not in HTTP_PROTOCOLS:
        return bytes(filesystem.cat_file(path))
    data = bytearray()
    with filesystem.open(path, "rb", block_size=0, size=1) as stream:  # any size: then fsspec does not ask for it
        while len(data) <= most and (piece := stream.read(STREAMED_BYTES)):
            data += piece
    return bytes(data)


def _refuse_larger(size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise TooLargeError(size)


class _RangeReader(io.RawIOBase):
    """A file of a store, in the form that Python's buffered reader needs."""

    def __init__(self, filesystem: Any, path: str, uri: str) -> None:
        self._uri = uri
        # no fsspec cache: those read ahead, and their memory is not bounded
        self._file = patiently(uri, lambda: filesystem.open(path, "rb", block_size=RANGE_BYTES, cache_type="none"))
        if not self._file.seekable():
            raise _without_ranges(uri)
        size = getattr(self._file, "size", None)
        self._size: int = self._file.seek(0, io.SEEK_END) if size is None else size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        start = self._position
        stop = min(start + min(len(buffer), RANGE_BYTES), self._size)
        if start >= stop:
            return 0
        buffer[: stop - start] = patiently(self._uri, lambda: self._fetch(start, stop))
        self._position = stop
        return stop - start

    def readall(self) -> bytes:
        """As inherited, but with ranges larger than a page."""
        parts = bytearray(max(0, self._size - self._position))
        filled = 0
        while filled < len(parts):
            filled += self.readinto(memoryview(parts)[filled:])
        return bytes(parts)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _fetch(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        try:
            data: bytes = self._file.read(stop - start)
        except ValueError as error:
            if "range requests" in str(error):
                raise _without_ranges(self._uri) from error
            raise
        if len(data) != stop - start:
            raise TruncatedError(f"received {len(data)} of {stop - start} bytes")
        return data


def _without_ranges(uri: str) -> NoRangesError:
    return NoRangesError(f"{redact(uri)}: its server sends only complete files, not ranges; download the file first")
