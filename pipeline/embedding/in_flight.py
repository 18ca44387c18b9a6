"""Which chunks are in flight: begun by a worker, and not all of their rows staged yet.

Workers tell of a chunk when they begin to read it and when they have read it; the driver counts what is staged. Rows of
several chunks mix on their way, so a chunk counts as done once as many rows are staged as had been read when it ended.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sample import Chunk
from pipeline.stages import photos
from pipeline.stages.decode import chunks_in

Name = tuple[str, int]
"""first source and part of a chunk: the same whoever reads it, again too"""


@dataclass(frozen=True)
class Begun:
    """A chunk that a worker is about to read."""

    chunk: Name
    source: str
    """as a person reads it"""
    node: str
    since: str
    """UTC, ISO 8601, by the worker's clock"""


@dataclass(frozen=True)
class Ended:
    """A chunk that a worker has read."""

    chunk: Name
    rows: int


Event = Begun | Ended


@dataclass(frozen=True)
class Watched:
    """Callable like the stage that reads chunks, which it calls: tells when one begins and when it ends."""

    call: Callable[[pa.Table], Any]
    tell: Callable[[Event], None]

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        for row in range(table.num_rows):
            one = table.slice(row, 1)
            (chunk,) = chunks_in(one)
            name = (chunk.sources[0].path, chunk.part)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self.tell(Begun(name, _named(chunk), socket.gethostname(), now))
            rows = 0
            for read in self.call(one):
                rows += pc.sum(pc.list_value_length(read[photos.PAIRS])).as_py() or 0
                yield read
            self.tell(Ended(name, rows))


class InFlight:
    """What the driver knows of the chunks. Told of events by any thread, asked by any other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[Name, Begun] = {}
        self._until: dict[Name, int] = {}
        """rows that must be staged before an ended chunk is done"""
        self._read: dict[Name, int] = {}
        self._rows_read = 0
        self._rows_staged = 0

    def hear(self, event: Event) -> None:
        """A chunk that is read again, since its worker died, begins anew."""
        with self._lock:
            if isinstance(event, Begun):
                self._begun[event.chunk] = event
                self._rows_read -= self._read.pop(event.chunk, 0)
                self._until.pop(event.chunk, None)
            else:
                self._read[event.chunk] = event.rows
                self._rows_read += event.rows
                self._until[event.chunk] = self._rows_read
                self._drop_done()

    def hear_no_more(self) -> None:
        """Nothing that is told from here on reaches the driver: it knows of none."""
        with self._lock:
            self._begun.clear()
            self._until.clear()

    def staged(self, rows: int) -> None:
        with self._lock:
            self._rows_staged += rows
            self._drop_done()

    def oldest(self) -> dict[str, str] | None:
        """`source`, `node` and `since` of the chunk that began first of those in flight."""
        with self._lock:
            if not self._begun:
                return None
            first = min(self._begun.values(), key=lambda begun: begun.since)
            return {"source": first.source, "node": first.node, "since": first.since}

    def _drop_done(self) -> None:
        for name in [name for name, rows in self._until.items() if rows <= self._rows_staged]:
            del self._until[name]
            self._begun.pop(name, None)


def _named(chunk: Chunk) -> str:
    first, *others = chunk.sources
    part = f", part {chunk.part + 1} of {chunk.parts}" if chunk.parts > 1 else ""
    return first.path + part + (f" and {len(others)} more" if others else "")
