"""Show a table's rows by status, the runs at work on it, and the chunk that has been in flight longest."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs import command, progress
from jobs.command import Result
from jobs.index import record_as_dict, record_as_lines
from pipeline import schema, table
from pipeline.errors import UsageError
from pipeline.processes import Life
from pipeline.table import TableUri
from pipeline.upkeep import status as state
from pipeline.upkeep.status import ColumnIndex, RunAtWork, Status
from pipeline.wording import counted

log = logging.getLogger(__name__)


class StatusJob(BaseModel):
    """Every option of `siglane status`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")
    watch: float | None = Field(
        None,
        gt=0,
        description="show how far the runs are, every so many seconds (5 if none are given), until they have ended",
        json_schema_extra={"alone": 5.0},
    )


def status(options: StatusJob) -> Result:
    uri = table.parse(options.table)
    if options.watch is None:
        return _result(options, state.status(uri))
    if uri.state is not None:
        raise UsageError(f"table {uri}: a fixed version does not change; leave out @{uri.state}, or --watch")
    try:
        _watch(uri, options.watch)
    except KeyboardInterrupt:
        found = _result(options, state.status(uri))
        going_on = any(run.life is Life.ALIVE for run in state.glance(uri).runs)
        advice = f"stopped watching{'; the run goes on' if going_on else ''}"
        return replace(found, exit_code=command.INTERRUPTED, advice=advice)
    return _result(options, state.status(uri))


def _watch(uri: TableUri, seconds: float) -> None:
    """Logs a line about each run at work, again and again until none is left."""
    while True:
        seen = state.glance(uri)
        at_work = [run for run in seen.runs if run.life is Life.ALIVE]
        if not at_work:
            return
        for run in at_work:
            has = counted(seen.rows, "row")
            log.info("%s on %s: %sthe table has %s", run.holder.work, run.holder.host, _far(run), has)
        time.sleep(seconds)


def _result(options: StatusJob, found: Status) -> Result:
    by_status, reasons = Counter[str](), Counter[str]()
    for (kind, _, reason), rows in found.rows.items():
        by_status[str(kind)] += rows
        if kind == schema.REJECTED:
            reasons[str(reason)] += rows
    summary = {
        "table": options.table,
        "version": found.version,
        "fragments": found.fragments,
        "rows": found.rows.total(),
        "rows_by_status": dict(by_status),
        "rejected_by_reason": dict(reasons),
        "reject_examples": dict(found.reject_examples),
        "last_commit": _last_commit(found),
        "runs": [_run(run) for run in found.runs],
        "indexes": [_index(index) for index in found.indexes],
    }
    why = ", ".join(f"{rows} {reason}" for reason, rows in sorted(reasons.items()))
    kinds = [
        f"{rows} {kind}" + (f" ({why})" if kind == schema.REJECTED and why else "")
        for kind, rows in sorted({schema.REJECTED: 0, **by_status}.items())
    ]
    size = f"{counted(found.fragments, 'fragment')}, {counted(found.rows.total(), 'row')}"
    held = f"version {found.version}, {size}: {', '.join(kinds)}"
    lines = [f"{options.table}: {'no table before the first commit' if found.version is None else held}"]
    lines += [f"rejected as {reason}, e.g. {message}" for reason, message in sorted(found.reject_examples.items())]
    if (last := found.last_commit) is not None:
        when = f", {last.time.isoformat(timespec='seconds')}" if last.time else ""
        lines.append(f"last commit of rows: {last.rows} in version {last.version}{when}")
    lines += [_index_line(index) for index in found.indexes]
    lines += [_line(run) for run in found.runs] or ["no run is at work"]
    return Result(summary, "\n".join(lines))


def _last_commit(found: Status) -> dict[str, Any] | None:
    last = found.last_commit
    if last is None:
        return None
    return {"version": last.version, "rows": last.rows, "time": last.time.isoformat() if last.time else None}


def _index(index: ColumnIndex) -> dict[str, Any]:
    found = {"column": index.column, "kind": index.kind, "rows_without": index.rows_without}
    return found if index.record is None else {**record_as_dict(index.record), **found}


def _index_line(index: ColumnIndex) -> str:
    left = f"; {counted(index.rows_without, 'row')} not in it yet" if index.rows_without else ""
    if index.record is not None:
        return record_as_lines(index.record) + left
    unmeasured = "" if index.kind not in table.KINDS else ", not measured: `siglane index` does"
    return f"{index.column}: {index.kind} index{unmeasured}{left}"


def _run(run: RunAtWork) -> dict[str, Any]:
    holder = run.holder
    in_flight = {"seconds": run.in_flight_age, **holder.in_flight} if holder.in_flight else None
    return {
        **{"work": holder.work, "host": holder.host, "pid": holder.pid, "ray_job": holder.job, "since": holder.since},
        **{"state": run.life.value, "heartbeat_seconds": run.heartbeat_age, "oldest_in_flight": in_flight},
        "progress": _progress(run),
    }


def _progress(run: RunAtWork) -> dict[str, Any] | None:
    view = run.progress
    return None if view is None else {**view.as_record(), "share": view.share, "seconds_left": view.seconds_left}


def _far(run: RunAtWork) -> str:
    """How far a run is, with a semicolon for what follows; empty if it does not say."""
    view = run.progress
    if view is None:
        return ""
    return f"{', '.join(progress.parts(view)) if view.rows else progress.line(view)}; "


def _line(run: RunAtWork) -> str:
    chunk = run.holder.in_flight
    oldest = (
        f"; oldest chunk in flight: {chunk['source']} on {chunk['node']}, {run.in_flight_age:.0f} s" if chunk else ""
    )
    return f"{run.life.value}: {run.holder}; {_far(run)}last heartbeat {_ago(run.heartbeat_age)}{oldest}"


def _ago(seconds: float) -> str:
    """`seconds`: negative if the clock of the run's machine is ahead of ours."""
    if seconds > -1:
        return f"{seconds:.0f} s ago"
    return f"in {-seconds:.0f} s, as its machine's clock is ahead of this one's"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(StatusJob, status, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
