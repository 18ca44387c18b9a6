"""What workers report about their work, besides the chunks in flight: so that a run can say how far it is, and which
stage the others wait for.

Reports are small and rare, because each is a message on a cluster. A lost report makes what is shown less exact, and
changes nothing else.
"""

from __future__ import annotations

import threading
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
    """seconds of work. Calls at the same time add up, but for those of an encoder, which share a device"""
    seconds: float
    """the time that has passed, with that in which it waited for its input"""
    parts: Mapping[str, float] = field(default_factory=dict)
    """seconds of work by part, of all threads together, where the stage tells (`photos.seconds_of`)"""


Report = Stated | Encoder | Worked


class Meter:
    """Measures the work of one stage in one worker, and reports it. Several threads may work at once."""

    def __init__(self, stage: str, tell: Callable[[Report], None]) -> None:
        self._stage, self._tell = stage, tell
        self._rows, self._busy, self._seconds = 0, 0.0, 0.0
        self._lock, self._running = threading.Lock(), 0
        self._seen: float | None = None
        """until when the time is counted"""
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
        """Calls the function; the call is work. Of an encoder, calls at the same time count once (`Worked.busy`)."""
        self._pass_time(more=1)
        try:
            return function(*arguments)
        finally:
            self._pass_time(more=-1)

    def _pass_time(self, more: int) -> None:
        """Counts the time that has passed. From now on so many more calls run."""
        with self._lock:
            now = time.monotonic()
            passed = 0.0 if self._seen is None else now - self._seen
            self._seconds += passed
            self._busy += passed * (min(1, self._running) if self._stage == EMBED else self._running)
            self._seen, self._running = now, self._running + more

    def count(self, rows: int) -> None:
        """Counts rows that are done, and reports them unless the last report is recent."""
        with self._lock:
            self._rows += rows
            is_due = time.monotonic() - self._told >= SECONDS_BETWEEN
        if is_due:
            self.report()

    def report(self) -> None:
        with self._lock:
            worked = Worked(self._stage, self._rows, self._busy, self._seconds, dict(self._parts))
            self._rows, self._busy, self._seconds, self._parts = 0, 0.0, 0.0, Counter()
            self._told = time.monotonic()
        self._tell(worked)


class Metered:
    """Callable like a stage's call that gives one table, which it measures."""

    def __init__(self, stage: str, call: Callable[[pa.Table], pa.Table], tell: Callable[[Report], None]) -> None:
        self._made_of = stage, call, tell
        self._call, self._meter = call, Meter(stage, tell)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process measures its own work."""
        return Metered, self._made_of

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
