"""How far a command is. The code that works reports it, and any thread may look.

The work of a command is a series of steps. A step counts rows, and states their total where it is known:

    current.begin("hashing images", total)
    for images in groups:
        ...
        current.add(len(images))
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pipeline.bottleneck import Bottleneck, Work

RECENT_SECONDS = 60.0
"""rates and shares are those of about this time"""

LEAST_SECONDS = 5.0
"""a share of a shorter time says nothing"""


@dataclass(frozen=True)
class Counts:
    """What an embedding run has done since it began."""

    samples_read: int = 0
    """read and decoded; those that were read again, because a worker died, count twice"""
    rows_embedded: int = 0
    rows_rejected: int = 0
    rows_committed: int = 0
    bytes_written: int = 0
    """of fragment files"""
    retries: int = 0
    """of requests to stores"""
    commits: int = 0
    commit_seconds: float = 0.0
    """of all commits together"""


@dataclass(frozen=True)
class Details:
    """What a step knows in addition to its counts."""

    total: int | None = None
    """rows of the whole step, or None if even an estimate is impossible"""
    total_is_exact: bool = True
    doing: str | None = None
    """what happens while the step has no rows yet, e.g. "loading the model" """
    bottleneck: Bottleneck | None = None
    """what the rest waits for, where it was measured"""
    encoders_busy: float | None = None
    """share of their time in which the encoders worked, 0 to 1, where it was measured"""
    at_work: Mapping[str, float] | None = None
    """how many workers were at each part of the work on average, where it was measured"""
    counts: Counts | None = None

    @property
    def work(self) -> Work | None:
        """What the step is busy with, where it was measured."""
        if self.at_work is None or self.encoders_busy is None or self.bottleneck is None:
            return None
        return Work(self.at_work, self.encoders_busy, self.bottleneck)


@dataclass(frozen=True)
class View:
    """What a look at a command's progress finds."""

    step: str
    seconds: float
    """since the step began"""
    rows: int = 0
    rejected: int = 0
    """those of the rows that were rejected"""
    rows_per_second: float | None = None
    """recently; None before it can be measured"""
    details: Details = field(default_factory=Details)

    @property
    def share(self) -> float | None:
        """Share of the rows that are done, 0 to 1. An estimated total can be too small."""
        total = self.details.total
        return min(1.0, self.rows / total) if total else None

    @property
    def seconds_left(self) -> float | None:
        total, rate = self.details.total, self.rows_per_second
        return max(0, total - self.rows) / rate if total is not None and rate else None

    def as_record(self) -> dict[str, Any]:
        """All values as JSON values."""
        record = asdict(self)
        return {
            **{name: record[name] for name in ("step", "rows", "rejected")},
            "seconds": round(self.seconds, 1),
            "rows_per_second": _rounded(self.rows_per_second),
            **record["details"],
            "encoders_busy": _rounded(self.details.encoders_busy),
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> View:
        """The view of a record, also of one that another version has written."""
        of_view, of_details = ({part.name for part in fields(kind)} for kind in (cls, Details))
        values = {name: value for name, value in record.items() if name in of_details}
        if isinstance(values.get("counts"), dict):
            known = {part.name for part in fields(Counts)}
            values["counts"] = Counts(**{name: value for name, value in values["counts"].items() if name in known})
        details = Details(**values)
        return cls(**{name: value for name, value in record.items() if name in of_view}, details=details)


class Progress:
    """The progress of one command. The methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._step: _Step
        self.begin("starting")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Steps that the block begins are part of the current step, which then goes on."""
        kept = self._step
        try:
            yield
        finally:
            self._step = kept

    def begin(self, step: str, total: int | None = None, details: Callable[[], Details] | None = None) -> None:
        """Begins a step; its counts start at 0.

        Args:
            step: what is done, e.g. "scoring".
            total: number of its rows, if known.
            details: called at each look, for a step that knows more; it replaces `total`.
        """
        with self._lock:
            self._step = _Step(step, time.monotonic(), details or (lambda: Details(total)))

    def add(self, rows: int, rejected: int = 0) -> None:
        """Counts rows of the current step that are done."""
        with self._lock:
            self._step.add(rows, rejected, time.monotonic())

    def look(self) -> View:
        with self._lock:
            now, step = time.monotonic(), self._step
            counts = (step.rows, step.rejected, step.rate.at(now))
        return View(step.name, now - step.began, *counts, step.details())


class _Step:
    def __init__(self, name: str, began: float, details: Callable[[], Details]) -> None:
        self.name, self.began, self.details = name, began, details
        self.rows = self.rejected = 0
        self.rate = Rate(began)

    def add(self, rows: int, rejected: int, now: float) -> None:
        self.rows += rows
        self.rejected += rejected
        self.rate.reached(self.rows, now)


class Rate:
    """How many rows per second came in recently."""

    def __init__(self, began: float) -> None:
        self._points = deque([(began, 0)])
        """(time, rows by then), at most one a second; the first is the last one that is not recent"""

    def reached(self, rows: int, now: float) -> None:
        if len(self._points) > 1 and now - self._points[-2][0] < 1:
            self._points.pop()
        self._points.append((now, rows))
        if len(self._points) > 2 and self._points[0][1] == 0 and now - self._points[1][0] >= 1:
            self._points.popleft()  # the start-up is no part of the rate, once there is a rate without it

    def at(self, now: float) -> float | None:
        """None before the first rows."""
        while len(self._points) > 2 and now - self._points[1][0] > RECENT_SECONDS:
            self._points.popleft()
        (since, before), (last, rows) = self._points[0], self._points[-1]
        if rows == before:
            return None
        # Rows come in groups. So the time since the last group lowers the rate only once it is longer than usual.
        usual = (last - since) / (len(self._points) - 1)
        return (rows - before) / max(last - since, now - since - usual, 0.001)


class BusyTime:
    """How much of their recent time some workers were busy."""

    def __init__(self) -> None:
        self._parts: deque[tuple[float, float, float]] = deque()
        """(time of a report, seconds in which the worker was busy, seconds of which it tells)"""

    def add(self, now: float, busy: float, of: float) -> None:
        self._parts.append((now, busy, of))

    def seconds(self, now: float) -> float:
        """Seconds in which they were busy."""
        self._forget(now)
        return sum(busy for _, busy, _ in self._parts)

    def share(self, now: float) -> float | None:
        """0 to 1, or None if the reports tell of less than `LEAST_SECONDS`."""
        self._forget(now)
        of = sum(of for _, _, of in self._parts)
        return min(1.0, self.seconds(now) / of) if of >= LEAST_SECONDS else None

    def _forget(self, now: float) -> None:
        while self._parts and now - self._parts[0][0] > RECENT_SECONDS:
            self._parts.popleft()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


current = Progress()
"""the progress of the command that this process runs"""
