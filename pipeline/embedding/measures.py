"""What the driver of a run knows about its progress, from the workers' reports and its own commits."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipeline.embedding.expected_rows import ExpectedRows
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reports import EMBED, READ, WRITE, Encoder, Report, Stated
from pipeline.progress import Bottleneck, BusyTime, Details, Progress

STAGED = "staged"


class Measures:
    """The measures of one run, which tell its progress. Any thread can report."""

    def __init__(self, plan: EmbedPlan, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._expected = ExpectedRows(plan.chunks)
        self._encoder = "waiting for an encoder to start"
        """what the first encoder does until it is ready; then empty"""
        self._rows = Counter[str]()
        """by stage"""
        self._done = 0
        """rows that are embedded, as far as the reports say, or staged"""
        self._time = defaultdict[str, BusyTime](BusyTime)
        """by stage"""
        self._commits = BusyTime()
        self._committed = time.monotonic()

    def hear(self, report: Report) -> None:
        with self._lock:
            if isinstance(report, Stated):
                self._expected.stated(report.samples)
            elif isinstance(report, Encoder):
                # One that is ready is enough to work with, while others load.
                self._encoder = "" if report.state == "ready" or not self._encoder else "loading the model"
            else:
                self._rows[report.stage] += report.rows
                self._time[report.stage].add(time.monotonic(), report.busy, report.seconds)
                self._count_done()

    def staged(self, rows: int, rejected: int) -> None:
        """Rows have arrived at the driver; so many of them are rejected."""
        with self._lock:
            self._rows[STAGED] += rows
            self._count_done(rejected)

    def _count_done(self, rejected: int = 0) -> None:
        """Reports of an encoder come before its rows, or after them."""
        done = max(self._rows[EMBED], self._rows[STAGED])
        self._progress.add(done - self._done, rejected)
        self._done = done

    @contextmanager
    def committing(self) -> Iterator[None]:
        """The block commits: the driver takes in no other rows meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            ended = time.monotonic()
            with self._lock:
                self._commits.add(ended, ended - began, ended - self._committed)
                self._committed = ended

    def details(self, oldest: Mapping[str, str] | None) -> Details:
        """`oldest`: the chunk that is in flight longest, with its `source`."""
        with self._lock:
            busy = self._time[EMBED].share(time.monotonic())
            total, is_exact = self._expected.total, self._expected.is_exact
            return Details(total, is_exact, self._doing(oldest), self._bottleneck(busy), busy)

    def _doing(self, oldest: Mapping[str, str] | None) -> str:
        read = self._rows[READ]
        if self._encoder:
            return f"{self._encoder}; {read} samples decoded" if read else self._encoder
        if read:
            return f"{read} samples decoded, none embedded yet"
        return f"reading {oldest['source']}" if oldest else "waiting for the first samples"

    def _bottleneck(self, encoders: float | None) -> Bottleneck | None:
        """What takes the largest share of the time. Where neither encoders nor commits are busy, the encoders wait for
        the tasks: for those that read, or those that write and hold up the others, whichever work more."""
        if encoders is None:
            return None
        now = time.monotonic()
        commits = self._commits.share(now) or 0.0
        tasks: Bottleneck = "input" if self._time[READ].seconds(now) >= self._time[WRITE].seconds(now) else "writing"
        shares: dict[Bottleneck, float] = {"encoders": encoders, "commits": commits, tasks: 1 - encoders - commits}
        return max(shares, key=shares.__getitem__)
