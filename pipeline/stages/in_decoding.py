"""Which images a child process decodes at the moment, in memory that its worker sees too, also after it has died.

A message for each image would cost more than reading its row. So each thread that decodes has a place in a few bytes of
shared memory, and writes there what it begins.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

_SOURCE, _ROW, _SINCE, _FIELDS = 0, 1, 2, 3


@dataclass(frozen=True)
class Begun:
    """A thread has begun to decode this image."""

    source: int
    """which of the chunk's sources, from 0"""
    row: int
    seconds: float
    """since then"""


class InDecoding:
    """So many places in the memory of an open file."""

    def __init__(self, descriptor: int, places: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, places * _FIELDS * 8)
        self._places = np.frombuffer(self._memory, np.int64).reshape(places, _FIELDS)

    @classmethod
    def create(cls, places: int) -> InDecoding:
        """In a new file that has no name. `descriptor` is open until `close`."""
        with tempfile.TemporaryFile() as file:
            file.truncate(places * _FIELDS * 8)
            return cls(os.dup(file.fileno()), places)

    def close(self) -> None:
        os.close(self.descriptor)

    @contextmanager
    def at(self, place: int, source: int, row: int) -> Iterator[None]:
        """While the block runs, this image is at this place, which no other thread uses."""
        fields = self._places[place]
        fields[_SOURCE], fields[_ROW] = source, row
        fields[_SINCE] = time.monotonic_ns()  # last, because it says that the place is in use
        try:
            yield
        finally:
            fields[_SINCE] = 0

    def begun(self) -> list[Begun]:
        now = time.monotonic_ns()
        places = self._places.copy()
        used = places[places[:, _SINCE] > 0]
        return [Begun(int(source), int(row), (now - int(since)) / 1e9) for source, row, since in used]
