"""What workers report about their work, besides the chunks in flight: so that a run can say how far it is, and which
stage the others wait for.

Reports are small and rare, because each is a message on a cluster. A lost report makes what is shown less exact, and
changes nothing else.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from pipeline.stages import photos

READ, EMBED, WRITE = "read and decode", "embed", "write"
"""the names of the stages"""

SECONDS_BETWEEN = 1.0
"""the least time between two reports of a worker about its work"""


@dataclass(frozen=True)
class Stated:
    """Sources of which the number of samples has become known."""

    samples: Mapping[str, int]
    """by path"""


@dataclass(frozen=True)
class Encoder:
    """A worker begins to load the model, or has loaded it."""

    state: Literal["loading", "ready"]


@dataclass(frozen=True)
class Worked:
    """What a worker has done since its last report."""

    stage: str
    rows: int
    """rows that the stage returned; samples that it read"""
    busy: float
    """seconds"""
    seconds: float
    """`busy`, and the time in which it waited for its input"""
    parts: Mapping[str, float] = field(default_factory=dict)
    """seconds of work by part, of all threads together, where the stage tells (`photos.seconds_of`)"""


Report = Stated | Encoder | Worked


class Meter:
    """Measures the work of one stage in one worker, and reports it."""

    def __init__(self, stage: str, tell: Callable[[Report], None]) -> None:
        self._stage, self._tell = stage, tell
        self._rows, self._busy, self._seconds = 0, 0.0, 0.0
        self._ended: float | None = None
        """when the last call ended"""
        self._told = float("-inf")
        self._parts = Counter[str]()

    def each(self, items: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The same items, photos with their metadata."""
        nothing = object()
        while (item := self.call(next, items, nothing)) is not nothing:
            self._parts.update(photos.seconds_of(item))
            self.count(photos.samples_of(item))
            yield item
        self.report()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the function; the call is work."""
        began = time.monotonic()
        result = function(*arguments)
        ended = time.monotonic()
        self._busy += ended - began
        self._seconds += ended - (began if self._ended is None else self._ended)
        self._ended = ended
        return result

    def count(self, rows: int) -> None:
        """Counts rows that are done, and reports them unless the last report is recent."""
        self._rows += rows
        if time.monotonic() - self._told >= SECONDS_BETWEEN:
            self.report()

    def report(self) -> None:
        self._tell(Worked(self._stage, self._rows, self._busy, self._seconds, dict(self._parts)))
        self._rows, self._busy, self._seconds, self._parts = 0, 0.0, 0.0, Counter()
        self._told = time.monotonic()


class Metered:
    """Callable like a stage's call that gives one table, which it measures."""

    def __init__(self, stage: str, call: Callable[[pa.Table], pa.Table], tell: Callable[[Report], None]) -> None:
        self._call, self._meter = call, Meter(stage, tell)

    def __call__(self, table: pa.Table) -> pa.Table:
        result: pa.Table = self._meter.call(self._call, table)
        self._meter.count(result.num_rows)
        return result


@dataclass(frozen=True)
class MeteredLoad:
    """Loads a stage as `load` does. Reports that, and then measures the stage."""

    stage: str
    load: Callable[[Any, str], Callable[[pa.Table], pa.Table]]
    tell: Callable[[Report], None]

    def __call__(self, settings: Any, device: str) -> Metered:
        self.tell(Encoder("loading"))
        call = self.load(settings, device)
        self.tell(Encoder("ready"))
        return Metered(self.stage, call, self.tell)
