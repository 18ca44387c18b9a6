"""A file's bytes. Local files are opened as they are; of others a range at a time is fetched, each with retries.

So a read that breaks in the middle of a file goes on where it broke, and memory is bounded whatever the file's size.
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
"""fetched at once, and kept in memory for each open file"""
STREAMED_BYTES = 1 << 20
"""taken at most from a web server's answer at once"""


class NoRangesError(StorageError):
    """A web server gives whole files only."""


class TooLargeError(ValueError):
    """A file has more bytes than are wanted."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


def open_file(uri: str) -> Any:
    """Opens a file for reading bytes, at random too.

    Raises:
        AbsentError: it is not there.
        InputError: it may not be read.
        StorageError: its store refuses, or failed also after retries. Reading raises it too.
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
        raise kind(f"{uri}: {why}; the input must stay as it is until the run ends") from error


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """The file on local disk, to be read at random and more than once: itself, or a copy that lives for the block.

    Raises:
        InputError: it is not there, or may not be read.
        StorageError: its store refuses, or failed also after retries.
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


def read_bytes(uri: str, most: int | None = None) -> bytes:
    """A small file whole.

    Raises:
        TooLargeError: it has more than `most` bytes; one on local disk is not read then, of a web server's little more.
        InputError: it is not there, or may not be read.
        StorageError: its store refuses, or failed also after retries.
    """
    filesystem, path = locate(uri)
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
    """An object whole; of a web server's, which may be anybody's and go on for ever, not much more than is wanted."""
    if most is None or protocol_of(path) not in HTTP_PROTOCOLS:
        return bytes(filesystem.cat_file(path))
    data = bytearray()
    with filesystem.open(path, "rb", block_size=0, size=1) as stream:  # of a size that is given none is asked for
        while len(data) <= most and (piece := stream.read(STREAMED_BYTES)):
            data += piece
    return bytes(data)


def _refuse_larger(size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise TooLargeError(size)


class _RangeReader(io.RawIOBase):
    """A file of a store as Python's own buffered reader takes it."""

    def __init__(self, filesystem: Any, path: str, uri: str) -> None:
        self._uri = uri
        # fsspec's own caches are left out: they read ahead, and what they hold is not bounded
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
        """As inherited, but by ranges of more than a page."""
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
            raise TruncatedError(f"{len(data)} bytes of {stop - start} came")
        return data


def _without_ranges(uri: str) -> NoRangesError:
    return NoRangesError(f"{redact(uri)}: its server gives whole files only, not parts of one; fetch the file first")
