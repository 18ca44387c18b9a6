"""Speed of the runs that made a table, and what held them up, as far as its history and their records tell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline import table as tables
from pipeline.bottleneck import Work
from pipeline.table import PATIENCE_SECONDS, RunRecord, Sign, Table

VERSIONS = 4_000
"""versions to read: nine hours of a run, which writes one every eight seconds"""
RECORDS = 200
"""records to read, of the runs that began last"""


@dataclass(frozen=True)
class PastRun:
    """Consecutive commits that were made with the same options."""

    settings: dict[str, Any]
    commits: int
    rows: int
    first: datetime
    last: datetime
    timed_rows: int
    """rows of the commits that have an earlier sign of work before them"""
    seconds: float
    """working time for these rows, without pauses in which there was no sign of work"""
    work: Work | None = None
    """what the longest of them was busy with, by its record; None if no record tells"""

    @property
    def rows_per_second(self) -> float | None:
        return self.timed_rows / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True)
class _Commit:
    sign: Sign
    time: datetime
    seconds: float
    """working time for this commit"""


def runs(table: Table) -> list[PastRun]:
    """The runs in the last `VERSIONS` versions of the table, oldest first."""
    records = [record for record in tables.read_runs(table.uri, RECORDS) if record.busy_with is not None]
    found: list[list[_Commit]] = []
    for commit in _timed(tables.signs_of_work(table, VERSIONS)):
        if found and found[-1][-1].sign.settings == commit.sign.settings:
            found[-1].append(commit)
        else:
            found.append([commit])
    return [_run(commits, records) for commits in found]


def _timed(signs: Iterable[Sign]) -> Iterable[_Commit]:
    before: datetime | None = None
    seconds = 0.0
    for sign in signs:
        if sign.time is None or not (sign.rows or _brings_rows(sign)):
            continue
        gap = (sign.time - before).total_seconds() if before is not None else 0.0
        seconds += gap if gap <= PATIENCE_SECONDS else 0.0
        before = sign.time
        if sign.rows:
            yield _Commit(sign, sign.time, seconds)
            seconds = 0.0


def _brings_rows(sign: Sign) -> bool:
    """Whether the heartbeat's run adds rows, unlike e.g. a run that scores them."""
    return sign.work is not None and sign.work.startswith(("embed of ", "import of "))


def _run(commits: Sequence[_Commit], records: Sequence[RunRecord]) -> PastRun:
    settings = json.loads(commits[0].sign.settings or "{}")
    timed = [commit for commit in commits if commit.seconds > 0]
    return PastRun(
        settings if isinstance(settings, dict) else {},
        len(commits),
        sum(commit.sign.rows for commit in commits),
        commits[0].time,
        commits[-1].time,
        sum(commit.sign.rows for commit in timed),
        sum(commit.seconds for commit in timed),
        _work([commit.sign.version for commit in commits], records),
    )


def _work(versions: Sequence[int], records: Sequence[RunRecord]) -> Work | None:
    """Of the longest run that committed one of the versions."""
    theirs = [record for record in records if record.first_version in versions]
    return max(theirs, key=lambda record: record.seconds).busy_with if theirs else None
