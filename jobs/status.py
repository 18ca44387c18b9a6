"""Show a table's rows by status, the runs at work on it, and the chunk that has been in flight longest."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs import command
from jobs.command import Result
from pipeline import schema, table
from pipeline.upkeep import status as state
from pipeline.upkeep.status import RunAtWork, Status


class StatusJob(BaseModel):
    """Every option of `siglane status`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(description="DATABASE/NAME of the table")


def status(options: StatusJob) -> Result:
    found = state.status(table.parse(options.table))
    by_status: Counter[str] = Counter()
    for (kind, _), rows in found.rows.items():
        by_status[str(kind)] += rows
    reasons = {str(reason): rows for (kind, reason), rows in found.rows.items() if kind == schema.REJECTED}
    summary = {
        "table": options.table,
        "version": found.version,
        "fragments": found.fragments,
        "rows": found.rows.total(),
        "rows_by_status": dict(by_status),
        "rejected_by_reason": reasons,
        "last_commit": _last_commit(found),
        "runs": [_run(run) for run in found.runs],
    }
    kinds = ", ".join(f"{rows} {kind}" for kind, rows in sorted(by_status.items()))
    why = ", ".join(f"{rows} {reason}" for reason, rows in sorted(reasons.items()))
    lines = [
        f"{options.table}: version {found.version}, {found.fragments} fragments, {found.rows.total()} rows"
        f"{f': {kinds}' if kinds else ''}{f' ({why})' if why else ''}"
    ]
    if (last := found.last_commit) is not None:
        when = f", {last.time.isoformat(timespec='seconds')}" if last.time else ""
        lines.append(f"last commit of rows: {last.rows} in version {last.version}{when}")
    lines += [_line(run) for run in found.runs] or ["no run is at work"]
    return Result(summary, "\n".join(lines))


def _last_commit(found: Status) -> dict[str, Any] | None:
    last = found.last_commit
    if last is None:
        return None
    return {"version": last.version, "rows": last.rows, "time": last.time.isoformat() if last.time else None}


def _run(run: RunAtWork) -> dict[str, Any]:
    holder = run.holder
    in_flight = {"seconds": run.in_flight_age, **holder.in_flight} if holder.in_flight else None
    return {
        **{"work": holder.work, "host": holder.host, "pid": holder.pid, "ray_job": holder.job, "since": holder.since},
        **{"state": run.life.value, "heartbeat_seconds": run.heartbeat_age, "oldest_in_flight": in_flight},
    }


def _line(run: RunAtWork) -> str:
    chunk = run.holder.in_flight
    oldest = (
        f"; oldest chunk in flight: {chunk['source']} on {chunk['node']}, {run.in_flight_age:.0f} s" if chunk else ""
    )
    return f"{run.life.value}: {run.holder}; last heartbeat {run.heartbeat_age:.0f} s ago{oldest}"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(StatusJob, status, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
