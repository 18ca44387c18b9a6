"""Tracks the chunks in flight: a worker has begun them, but not all of their rows are staged yet.

Workers report when they begin to read a chunk and when they have read it. The driver counts the staged rows. Rows of
several chunks mix on their way, so a chunk counts as done when as many rows are staged as had been read at its end.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.embedding.reports import READ, Meter, Report, Stated
from pipeline.sample import Chunk
from pipeline.stages import photos
from pipeline.stages.decode import chunks_in

Name = tuple[str, int]
"""first source and part of a chunk, which stay the same if another worker reads the chunk again"""


@dataclass(frozen=True)
class Begun:
    """A worker begins to read this chunk."""

    chunk: Name
    source: str
    """description for people"""
    node: str
    since: str
    """UTC, ISO 8601, by the worker's clock"""


@dataclass(frozen=True)
class Ended:
    """A worker has read this chunk."""

    chunk: Name
    rows: int
    """rows that the reading stage returned"""
    samples: int
    """samples that the format's reader gave to the stage"""
    open_counts: Mapping[str, tuple[int, int]]
    """for each source, by path, that this chunk did not read completely: rows read, and samples that the source has"""


Event = Begun | Ended | Report


@dataclass(frozen=True)
class Watched:
    """Callable like the stage that reads chunks, which it calls. Reports when a chunk begins and when it ends, how many
    samples its sources have, and how long reading takes."""

    call: Callable[[pa.Table], Any]
    tell: Callable[[Event], None]

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        for row in range(table.num_rows):
            one = table.slice(row, 1)
            (chunk,) = chunks_in(one)
            name = (chunk.sources[0].path, chunk.part)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self.tell(Begun(name, _named(chunk), socket.gethostname(), now))
            samples, by_source = 0, dict[str, tuple[int, int]]()
            for read in Meter(READ, self.tell).each(iter(self.call(one))):
                samples += photos.samples_of(read)
                if stated := _count(read, by_source, chunk):
                    self.tell(Stated(stated))
                # Blocks are joined later, for which different counts in their metadata would not match.
                yield read.replace_schema_metadata(None)
            rows = sum(rows for rows, _ in by_source.values())
            self.tell(Ended(name, rows, samples, _open_counts(chunk, by_source)))


def _count(read: pa.Table, by_source: dict[str, tuple[int, int]], chunk: Chunk) -> dict[str, int]:
    """Adds, for each source, its rows and the number of samples that it states; 0 if it states none.

    Returns the numbers that were not known before, from the plan or from earlier rows.
    """
    pairs = pc.list_flatten(read[photos.PAIRS].combine_chunks())
    columns = {name: pc.struct_field(pairs, name) for name in (schema.SOURCE, schema.SOURCE_ROWS)}
    counted = pa.table(columns).group_by(schema.SOURCE).aggregate([([], "count_all"), (schema.SOURCE_ROWS, "max")])
    planned = {source.path: source.samples for source in chunk.sources}
    stated = {}
    for path, rows, held in zip(*(column.to_pylist() for column in counted.columns), strict=True):
        before, known = by_source.get(path, (0, 0))
        by_source[path] = (before + rows, max(known, held or 0))
        if held is not None and held not in (known, planned[path]):
            stated[path] = held
    return stated


def _open_counts(chunk: Chunk, by_source: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The counts that only the driver can check, because this chunk did not read all of a source. Empty if the chunk is
    limited to a part of the rows."""
    if chunk.limit is not None or chunk.fraction < 1:
        return {}
    found = {}
    for source in chunk.sources:
        rows, held = by_source.get(source.path, (0, 0))
        held = max(held, source.min_samples)
        if chunk.parts > 1 or rows + chunk.rows_done(source.path) < held:
            found[source.path] = (rows, held)
    return found


class InFlight:
    """The driver's view of the chunks. Any thread can report events or ask questions.

    `others` hears the reports that are not about chunks.
    """

    def __init__(self, others: Callable[[Report], None] = lambda _report: None) -> None:
        self._others = others
        self._lock = threading.Lock()
        self._begun: dict[Name, Begun] = {}
        self._until: dict[Name, int] = {}
        """the number of staged rows at which an ended chunk is done"""
        self._ended: dict[Name, Ended] = {}
        self._rows_read = 0
        self._is_heard = True
        self.rows_staged = 0

    def hear(self, event: Event) -> None:
        """Records an event. A chunk that is read again, because its worker died, starts over."""
        with self._lock:
            if isinstance(event, Begun):
                self._begun[event.chunk] = event
                if event.chunk in self._ended:
                    self._rows_read -= self._ended.pop(event.chunk).rows
                self._until.pop(event.chunk, None)
            elif isinstance(event, Ended):
                self._ended[event.chunk] = event
                self._rows_read += event.rows
                self._until[event.chunk] = self._rows_read
                self._drop_done()
            else:
                self._others(event)

    def hear_no_more(self) -> None:
        """No further events will arrive, so from now on no chunk is known to be in flight."""
        with self._lock:
            self._is_heard = False
            self._begun.clear()
            self._until.clear()

    def staged(self, rows: int) -> None:
        with self._lock:
            self.rows_staged += rows
            self._drop_done()

    def ended(self, chunks: int) -> list[Ended] | None:
        """The workers' reports of all chunks that have ended; None while a report is missing."""
        with self._lock:
            return list(self._ended.values()) if self._is_heard and len(self._ended) == chunks else None

    def oldest(self) -> dict[str, str] | None:
        """`source`, `node` and `since` of the chunk in flight that began first."""
        with self._lock:
            if not self._begun:
                return None
            first = min(self._begun.values(), key=lambda begun: begun.since)
            return {"source": first.source, "node": first.node, "since": first.since}

    def _drop_done(self) -> None:
        for name in [name for name, rows in self._until.items() if rows <= self.rows_staged]:
            del self._until[name]
            self._begun.pop(name, None)


def _named(chunk: Chunk) -> str:
    first, *others = chunk.sources
    part = f", part {chunk.part + 1} of {chunk.parts}" if chunk.parts > 1 else ""
    return first.path + part + (f" and {len(others)} more" if others else "")
