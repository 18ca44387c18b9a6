"""What the driver of a run knows about its progress, from the workers' reports and its own commits."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from pipeline.bottleneck import COMMITS, ENCODERS, PARTS, WRITING, Bottleneck, Work
from pipeline.embedding.expected_rows import ExpectedRows
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reports import EMBED, READ, WRITE, Encoder, Report, Stated, Worked
from pipeline.progress import LEAST_SECONDS, RECENT_SECONDS, BusyTime, Counts, Details, Progress
from pipeline.wording import counted

STAGED = "staged"

_OF_STAGE = {EMBED: ENCODERS, WRITE: WRITING}


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
        self._counts = Counts()
        self._commits = BusyTime()
        self._committed = time.monotonic()
        self._parts = defaultdict[str, BusyTime](BusyTime)
        self._began: float | None = None
        """when the first work was reported; a report comes at its end, so the work began a little earlier"""
        self._in_all = defaultdict[str, float](float)
        """seconds of work in the whole run, by part, by stage, and of encoders and commits with the time between"""

    def hear(self, report: Report) -> None:
        with self._lock:
            if isinstance(report, Stated):
                self._expected.stated(report.samples)
            elif isinstance(report, Encoder):
                # One that is ready is enough to work with, while others load.
                self._encoder = "" if report.state == "ready" or not self._encoder else "loading the model"
            else:
                now = time.monotonic()
                self._rows[report.stage] += report.rows
                self._time[report.stage].add(now, report.busy, report.seconds)
                self._count_work(now, report)
                self._count_done()

    def _count_work(self, now: float, report: Worked) -> None:
        self._began = now - report.seconds if self._began is None else self._began
        own = {_OF_STAGE[report.stage]: report.busy} if report.stage in _OF_STAGE else {}
        for part, seconds in {**own, **report.parts}.items():
            self._parts[part].add(now, seconds, seconds)
            self._in_all[part] += seconds
        self._in_all[report.stage] += report.busy
        if report.stage == EMBED:
            self._in_all["time of encoders"] += report.seconds

    def staged(self, rows: int, rejected: int, size: int = 0, retries: int = 0) -> None:
        """Rows have arrived at the driver: so many rejects among them, bytes written, and retries on the way."""
        with self._lock:
            self._rows[STAGED] += rows
            found = self._counts
            self._counts = replace(
                found,
                rows_embedded=found.rows_embedded + rows - rejected,
                rows_rejected=found.rows_rejected + rejected,
                bytes_written=found.bytes_written + size,
                retries=found.retries + retries,
            )
            self._count_done(rejected)

    def _count_done(self, rejected: int = 0) -> None:
        """Reports of an encoder come before its rows, or after them."""
        done = max(self._rows[EMBED], self._rows[STAGED])
        self._progress.add(done - self._done, rejected)
        self._done = done

    def committed(self, rows: int, seconds: float) -> None:
        """A commit has added rows."""
        with self._lock:
            found = self._counts
            self._counts = replace(
                found,
                rows_committed=found.rows_committed + rows,
                commits=found.commits + 1,
                commit_seconds=found.commit_seconds + seconds,
            )

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
                self._parts[COMMITS].add(ended, ended - began, ended - began)
                self._in_all[COMMITS] += ended - began

    def details(self, oldest: Mapping[str, str] | None) -> Details:
        """`oldest`: the chunk that is in flight longest, with its `source`."""
        with self._lock:
            now = time.monotonic()
            busy, commits = self._time[EMBED].share(now), self._commits.share(now) or 0.0
            reading, writing = self._time[READ].seconds(now), self._time[WRITE].seconds(now)
            bound = None if busy is None else _bottleneck(busy, commits, reading, writing)
            total, is_exact = self._expected.total, self._expected.is_exact
            counts = replace(self._counts, samples_read=self._rows[READ])
            return Details(total, is_exact, self._doing(oldest), bound, busy, self._at_work(now), counts)

    def _at_work(self, now: float) -> dict[str, float] | None:
        if self._began is None:
            return None
        span = max(min(RECENT_SECONDS, now - self._began), LEAST_SECONDS)
        return {part: round(self._parts[part].seconds(now) / span, 3) for part in PARTS}

    def work(self) -> Work | None:
        """Of the whole run; None if the encoders worked too shortly to tell."""
        with self._lock:
            found, now = self._in_all, time.monotonic()
            if self._began is None or found["time of encoders"] < LEAST_SECONDS:
                return None
            span = max(now - self._began, LEAST_SECONDS)
            busy = min(1.0, found[EMBED] / found["time of encoders"])
            return Work(
                {part: round(found[part] / span, 3) for part in PARTS},
                round(busy, 3),
                _bottleneck(busy, found[COMMITS] / span, found[READ], found[WRITE]),
            )

    def _doing(self, oldest: Mapping[str, str] | None) -> str:
        read = self._rows[READ]
        if self._encoder:
            return f"{self._encoder}; {counted(read, 'sample')} decoded" if read else self._encoder
        if read:
            return f"{counted(read, 'sample')} decoded, none embedded yet"
        return f"reading {oldest['source']}" if oldest else "waiting for the first samples"


def _bottleneck(encoders: float, commits: float, reading: float, writing: float) -> Bottleneck:
    """What takes the largest share of the time. Where neither encoders nor commits are busy, the encoders wait for the
    tasks: for those that read, or those that write and hold up the others, whichever work more.

    encoders, commits: shares of their time, 0 to 1. reading, writing: seconds.
    """
    tasks: Bottleneck = "input" if reading >= writing else "writing"
    shares: dict[Bottleneck, float] = {"encoders": encoders, "commits": commits, tasks: 1 - encoders - commits}
    return max(shares, key=shares.__getitem__)
