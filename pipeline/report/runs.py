"""How fast the runs were that made a table, as far as its history tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline import table as tables
from pipeline.table import PATIENCE_SECONDS, Sign, Table

VERSIONS = 4_000
"""looked at: nine hours of a run, which makes one every eight seconds"""


@dataclass(frozen=True)
class PastRun:
    """Commits that follow each other and were made with the same options."""

    settings: dict[str, Any]
    commits: int
    rows: int
    first: datetime
    last: datetime
    timed_rows: int
    """rows of those commits before which there was an earlier sign of work"""
    seconds: float
    """at work for them: pauses without a sign of work are left out"""

    @property
    def rows_per_second(self) -> float | None:
        return self.timed_rows / self.seconds if self.seconds > 0 else None


@dataclass(frozen=True)
class _Commit:
    sign: Sign
    time: datetime
    seconds: float
    """at work for it"""


def runs(table: Table) -> list[PastRun]:
    """The oldest first, of the last `VERSIONS` versions of the table."""
    found: list[list[_Commit]] = []
    for commit in _timed(tables.signs_of_work(table, VERSIONS)):
        if found and found[-1][-1].sign.settings == commit.sign.settings:
            found[-1].append(commit)
        else:
            found.append([commit])
    return [_run(commits) for commits in found]


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
    """Whether a heartbeat is of a run that brings rows in, and not, say, of one that scores them."""
    return sign.work is not None and sign.work.startswith(("embed of ", "import of "))


def _run(commits: Sequence[_Commit]) -> PastRun:
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
    )
