"""Reads and decodes in a child process. Data that crashes or hangs it then costs one sample, not the worker or chunk.

Image libraries are native code. A malicious file can crash them, keep them busy for ever, or make them unpack a few
kilobytes until the memory is full. So the child's time and memory are limited, and it is known which images it decodes.

The child decodes several images at once. If it dies or times out, these are suspects, and a new child does the rest of
the chunk with care: one image after the other. If it fails at a suspect, that sample is rejected, and a new child
continues after it. One failure is not enough, because the machine may have been short of memory or suspended for a
moment; so an image that was no suspect becomes one.

The child also reports each row group of Parquet before it reads it. If it dies twice there, the remaining rows of the
row group are rejected.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.errors import InputError
from pipeline.processes import cpus
from pipeline.sample import Chunk, Reject, Sample, Stretch
from pipeline.stages import child_process, photos
from pipeline.stages.child import Finished, Order, Reading, Starting
from pipeline.stages.decode import MOST_THREADS, PAIRS_PER_WINDOW, ReadAndDecode, chunks_in
from pipeline.stages.in_decoding import InDecoding
from pipeline.storage import retries

SAMPLE_SECONDS = 60.0
"""default time limit for decoding one image"""
SAMPLE_GIGABYTES = 4.0
"""default memory limit for reading and decoding, in GiB"""
SECONDS_BETWEEN_LOOKS = 0.5
"""at how long an image takes"""

Place = tuple[str, int] | Stretch
"""where a child died: at one row, or at rows that are read together"""


@dataclass(frozen=True)
class Isolated:
    """Callable like `stage`, which it runs in a child process."""

    stage: ReadAndDecode
    sample_seconds: float
    """time limit for decoding one image"""
    sample_memory: int
    """bytes that the child may use in addition to its memory at the start; only enforced on Linux"""
    threads: int | None = None
    """that decode; None for one a CPU, at most `MOST_THREADS`"""

    def __call__(self, chunks: pa.Table) -> Iterator[pa.Table]:
        for chunk in chunks_in(chunks):
            yield from self._photos(chunk)

    def _photos(self, chunk: Chunk) -> Iterator[pa.Table]:
        suspects: frozenset[Place] = frozenset()
        is_careful = died_reading = False
        while True:
            read: list[pa.Table] = []
            try:
                child = _child_with(self.stage, self.sample_memory, self.threads or min(cpus(), MOST_THREADS))
                for table in child.photos(Order(chunk, is_careful), self.sample_seconds):
                    yield table
                    read.append(_places(table))
            except _LostError as lost:
                chunk = chunk.without(_rows(read))
                if is_careful and not lost.suspects:
                    if died_reading:
                        raise _unreadable(chunk, lost) from None
                    died_reading = True
                    continue
                if lost.at is not None and is_careful and lost.suspects <= suspects:
                    for table in self._rejected(lost, lost.at, chunk):
                        yield table
                        chunk = chunk.without(_rows([_places(table)]))
                    if isinstance(lost.at, Reading) and lost.at.stretch.is_all:
                        return
                suspects, is_careful = lost.suspects, True
            else:
                return

    def _rejected(self, lost: _LostError, at: Starting | Reading, chunk: Chunk) -> Iterator[pa.Table]:
        """The rejected photos of the samples at which the child died."""
        if isinstance(at, Starting):
            reject = Reject("decode", lost.reason, f"decoding the image {lost}, twice")
            yield self.stage.rejected([replace(at.sample, reject=reject)], at.digest)
            return
        part = at.stretch
        path = part.source.path
        left = islice((row for row in range(part.start, part.stop) if not chunk.is_done(path, row)), chunk.limit)
        what = path if part.is_all else f"{path}: rows {part.start} to {part.stop - 1}"
        reject = Reject("read", lost.reason, f"{what}: reading {lost}, twice; fix or remove the file")
        while rows := list(islice(left, PAIRS_PER_WINDOW)):
            yield self.stage.rejected(
                Sample(part.source, row, part.rows, path if part.is_all else f"slot {row}", None, None, reject=reject)
                for row in rows
            )


def _place(at: Starting | Reading) -> Place:
    return at.stretch if isinstance(at, Reading) else (at.sample.source.path, at.sample.row)


def _places(photos_of_window: pa.Table) -> pa.Table:
    """The source and row of each pair."""
    pairs = pc.list_flatten(photos_of_window[photos.PAIRS].combine_chunks())
    return pa.table({name: pc.struct_field(pairs, name) for name in (schema.SOURCE, schema.SOURCE_ROW)})


def _rows(places: Sequence[pa.Table]) -> list[tuple[str, int]]:
    columns = pa.concat_tables(places).columns if places else ()
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _unreadable(chunk: Chunk, lost: _LostError) -> InputError:
    first, last = chunk.sources[0].path, chunk.sources[-1].path
    where = first if first == last else f"one of {first} … {last}"
    return InputError(f"{where}: reading {lost}, twice; fix the file or move it out of the input")


class _EndedError(Exception):
    """This process has ended the child, as it needs no more of it."""


class _LostError(Exception):
    """The child died or timed out.

    at: the image or rows that it reported last, or None. Of a child that was not careful, only the rows.
    suspects: where it may have died.
    """

    def __init__(self, reason: str, how: str, at: Starting | Reading | None, suspects: Iterable[Place]) -> None:
        super().__init__(how)
        self.reason = reason
        self.at = at
        self.suspects = frozenset(suspects)


class _Child:
    """A process that reads and decodes for one stage."""

    def __init__(self, stage: ReadAndDecode, memory: int, threads: int) -> None:
        self.made_for = (stage, memory, threads)
        self._is_ended = False
        self._in_decoding = InDecoding.create(threads)
        shared = self._in_decoding.descriptor
        self._process, self._connection = child_process.start(
            "pipeline.stages.child", memory, shared, threads, shared=[shared]
        )
        self._in_decoding.close()
        self._connection.send(stage)

    def photos(self, order: Order, sample_seconds: float) -> Iterator[pa.Table]:
        """The chunk's photos.

        Raises:
            _LostError: the child died, or took too long for one image. It cannot be used again.
            Exception: any error that the stage raised.
        """
        finished = False
        try:
            for message in self._answers(order, sample_seconds):
                if isinstance(message, Exception):
                    finished = True
                    raise message
                yield message
            finished = True
        finally:
            if not finished:  # the child is still busy with a chunk that is no longer needed
                self.end()

    def _answers(self, order: Order, sample_seconds: float) -> Iterator[Any]:
        at: Starting | Reading | None = None
        reading: Reading | None = None

        def look() -> dict[Place, float]:
            """The images that are being decoded, with the seconds since they were begun."""
            paths = [source.path for source in order.chunk.sources]
            return {(paths[each.source], each.row): each.seconds for each in self._in_decoding.begun()}

        try:
            self._connection.send(order)
            while True:
                while not self._connection.poll(min(SECONDS_BETWEEN_LOOKS, sample_seconds)):
                    if late := [place for place, seconds in look().items() if seconds > sample_seconds]:
                        raise _LostError("timeout", f"took more than {sample_seconds:g} s", at, late)
                message = self._connection.recv()
                if isinstance(message, Finished):
                    retries.add(message.retries)
                    _count_work(message.seconds_at_work)
                    return
                if isinstance(message, Reading):
                    reading = at = message
                elif isinstance(message, Starting):
                    at = message
                else:
                    at = reading
                    yield message
        except (EOFError, OSError):
            if self._is_ended:
                raise _EndedError from None
            how = child_process.how_it_ended(self._process.wait())
            told = [] if at is None else [_place(at)]
            raise _LostError("crash", how, at, told if order.is_careful else look() or told) from None

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._is_ended = True
        self._process.kill()  # before the connection is closed, so that the child does not report an error about it
        self._process.wait()
        self._connection.close()


# One child per process is enough, as it decodes in several threads. It is kept, as starting Python takes a second.
_child: _Child | None = None


def _child_with(stage: ReadAndDecode, memory: int, threads: int) -> _Child:
    global _child
    if _child is None or not _child.is_alive or _child.made_for != (stage, memory, threads):
        end_child()
        _child = _Child(stage, memory, threads)
    return _child


_work_of_children = 0.0


def _count_work(seconds: float) -> None:
    global _work_of_children
    _work_of_children += seconds


def child_seconds_at_work() -> float:
    """In which children of this process computed, or waited for a CPU, in the chunks that they finished."""
    return _work_of_children


@atexit.register
def end_child() -> None:
    """Ends the child of this process, if there is one. What another thread waits for from it ends with an error."""
    global _child
    child, _child = _child, None
    if child is not None:
        child.end()
