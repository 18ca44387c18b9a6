"""What the command of this process has done so far, besides its progress: its commits, its rows and its machines.

Whoever works adds to it. The record of the run (`pipeline.table.run_records`) tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event, Lock

from pipeline.bottleneck import Work


@dataclass
class ThisRun:
    """What is known of one run."""

    id: str | None = None
    """of its record; None for a run without"""
    job: str | None = None
    """id of the Ray job"""
    encoders: int | None = None
    device: str | None = None
    """`cpu` or `cuda`; None for a command without encoders"""
    work: Work | None = None
    """what an embedding run was busy with, at its end"""
    commits: int = 0
    """those of rows and of columns, not the heartbeats, merges and indexes"""
    first_version: int | None = None
    last_version: int | None = None
    """of its commits"""
    rows: Counter[str] = field(default_factory=Counter)
    """that it has brought in, by status"""
    news: Event = field(default_factory=Event)
    """set at the first commit, and at the end: the record should tell it soon"""

    lock: Lock = field(default_factory=Lock)
    """held while a commit is counted"""

    def committed(self, version: int, rows: Mapping[str, int]) -> None:
        """A commit of this run has made that version of the table. `rows`: that it added, by status."""
        with self.lock:
            self.commits += 1
            self.rows.update(rows)
            self.last_version = version
            if self.first_version is None:
                self.first_version = version
                self.news.set()


current = ThisRun()
"""of the command that this process runs"""


def begin(run: str, job: str | None) -> None:
    """Another run begins in this process. `run`: the id of its record; `job`: of the Ray job."""
    global current
    current = ThisRun(run, job)
