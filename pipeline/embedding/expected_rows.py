"""How many rows a run will read: counted where the sources tell, estimated by their bytes where they do not yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pipeline.sample import Chunk


class ExpectedRows:
    """The number of rows in some chunks. It gets more exact while they are read."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._limit = _limit(chunks)
        self._fraction = chunks[0].fraction if chunks else 1.0
        self._unknown: dict[str, tuple[int, int]] = {}
        """of sources whose number of samples is not known: bytes, and rows that are in the table already"""
        self._known_rows = self._known_bytes = self._unknown_bytes = 0
        for chunk in chunks if self._limit is None else ():
            for source in chunk.sources if chunk.part == 0 else ():
                done = chunk.rows_done(source.path)
                if source.samples is not None:
                    self._count(source.samples, source.size, done)
                else:
                    self._unknown[source.path] = (source.size, done)
                    self._unknown_bytes += source.size

    def stated(self, samples: Mapping[str, int]) -> None:
        """Some sources have these numbers of samples, by path."""
        for path, count in samples.items():
            if path in self._unknown:
                size, done = self._unknown.pop(path)
                self._unknown_bytes -= size
                self._count(count, size, done)

    def _count(self, samples: int, size: int, done: int) -> None:
        self._known_rows += max(0, round(samples * self._fraction) - done)
        self._known_bytes += size

    @property
    def total(self) -> int | None:
        """None if nothing is known yet."""
        if self._limit is not None:
            return self._limit
        if self._unknown and not self._known_bytes:
            return None
        more = self._unknown_bytes * self._known_rows / self._known_bytes if self._known_bytes else 0
        return self._known_rows + math.ceil(more)

    @property
    def is_exact(self) -> bool:
        return self._limit is not None or not (self._unknown or self._fraction < 1)


def _limit(chunks: Sequence[Chunk]) -> int | None:
    """The number of rows where each chunk is limited to a number that it has."""
    limits = [chunk.limit for chunk in chunks if chunk.limit is not None]
    return sum(limits) if len(limits) == len(chunks) else None
