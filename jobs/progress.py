"""Shows a command's progress on stderr: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pipeline.processes import thread_beside
from pipeline.progress import Progress, View, current
from pipeline.wording import counted

log = logging.getLogger(__name__)

FIRST_SECONDS = 10.0
MOST_SECONDS = 300.0
"""The first lines are 10 s apart, later ones a tenth of the time so far, and at most 5 minutes."""

_BOUND_BY = {"encoders": "encoder-bound", "input": "input-bound", "writing": "write-bound", "commits": "commit-bound"}


@contextmanager
def shown() -> Iterator[None]:
    """Shows the current progress until the block ends."""
    current.begin("starting")
    if _can_move_its_cursor():
        from jobs.terminal import bar  # rich is not imported where nothing needs it

        with bar(current):
            yield
    else:
        with thread_beside("progress", partial(_log, current)):
            yield


def _can_move_its_cursor() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _log(progress: Progress, over: threading.Event) -> None:
    waited, pause = 0.0, FIRST_SECONDS
    while not over.wait(pause):
        waited += pause
        log.info("%s", line(progress.look()))
        pause = min(MOST_SECONDS, max(FIRST_SECONDS, waited / 10))


def line(view: View) -> str:
    """A view of a progress, as one line."""
    return f"{view.step}: {', '.join(parts(view))}"


def parts(view: View) -> list[str]:
    """What a view says, most important first."""
    details = view.details
    if not view.rows:
        total = [] if details.total is None else [f"0 of {_total(details.total, details.total_is_exact)}"]
        return [*total, *([details.doing] if details.doing else []), duration(view.seconds)]
    said = [_rows(view)]
    if view.rows_per_second is not None:
        said.append(f"{view.rows_per_second:.{1 if view.rows_per_second < 100 else 0}f} rows/s")
    if view.seconds_left is not None:
        said.append(f"{duration(view.seconds_left)} left")
    if view.rejected:
        said.append(f"{view.rejected} rejected")
    if details.bottleneck is not None and details.encoders_busy is not None:
        bound = _BOUND_BY.get(details.bottleneck, details.bottleneck)
        whose = "" if details.bottleneck == "encoders" else "encoders "
        said.append(f"{bound} ({whose}busy {_percent(details.encoders_busy)})")
    return said


def _rows(view: View) -> str:
    total, is_exact, share = view.details.total, view.details.total_is_exact, view.share
    if total is None or share is None:
        return counted(view.rows, "row")
    # Work that is done again, because a worker died, counts twice; and an estimate can turn out too small.
    rows, total = (min(view.rows, total), total) if is_exact else (view.rows, max(view.rows, total))
    return f"{rows} of {_total(total, is_exact)} ({_percent(share)})"


def _percent(share: float) -> str:
    """Rounded down: 100 % is all."""
    return f"{int(share * 100)} %"


def _total(rows: int, is_exact: bool) -> str:
    return f"{'' if is_exact else 'about '}{counted(rows, 'row')}"


def duration(seconds: float) -> str:
    """At most two units: 8 s, 2 min 31 s, 3 h 12 min, 2 d 4 h."""
    left = round(seconds)
    units = [("d", left // 86400), ("h", left // 3600 % 24), ("min", left // 60 % 60), ("s", left % 60)]
    first = next((place for place, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {name}" for name, count in units[first : first + 2] if count) or "0 s"
