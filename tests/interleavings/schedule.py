"""Schedules as text: `A3,B1,a2,A!` is three steps of A, one of B, two of A's heartbeat, then A is killed.

`A?` is a step of A whose answer is lost, `A-` one whose call is not sent, `A^` one after which Ctrl-C comes. Where the
text ends, the last thread goes on up to its end, then the others. A step of a thread that is not ready is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from tests.interleavings.scenario import Choose
from tests.interleavings.scheduler import Choice, Scheduler

_PART = re.compile(r"([A-Ca-c])(\d+|[!?^-])")

Parts = tuple[tuple[Choice, int], ...]
"""a choice, and how many times"""


def parts_of(choices: Sequence[Choice]) -> Parts:
    return tuple((choice, len(list(same))) for choice, same in groupby(choices))


def to_text(parts: Parts) -> str:
    return ",".join(f"{c.thread}{c.how or count}" for c, count in parts for _ in range(count if c.how else 1))


def from_text(text: str) -> Parts:
    parts = []
    for part in filter(None, text.split(",")):
        found = _PART.fullmatch(part)
        if not found:
            raise ValueError(f"{part!r}: no part of a schedule; write e.g. A3,B1,A!")
        thread, what = found.groups()
        parts.append((Choice(thread), int(what)) if what.isdigit() else (Choice(thread, what), 1))
    return tuple(parts)


def replay(parts: Parts) -> Choose:
    """Makes these choices, then those by default."""
    coming = [choice for choice, count in parts for _ in range(count)]
    at = 0

    def choose(scheduler: Scheduler) -> Choice:
        nonlocal at
        ready = {thread.name for thread in scheduler.ready()}
        while at < len(coming):
            choice = coming[at]
            at += 1
            if choice.thread in ready:
                return choice
        return Choice(scheduler.default().name)

    return choose
