"""List the runs that worked on a table: what they did, when, how they ended, and how fast they were."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from jobs import command, embed_lines, progress
from jobs.aligned import aligned
from jobs.command import Result
from pipeline import table
from pipeline.errors import UsageError
from pipeline.progress import View
from pipeline.table import RunRecord, State, TableUri
from pipeline.upkeep import runs as upkeep

_INTERNAL = ("place", "process_start", "state_at_end")
_HEADS = ("run", "command", "started", "state", "time", "rows", "rejected", "skipped", "rows/s", "commits", "by", "on")


class RunsJob(BaseModel):
    """Every option of `siglane runs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(
        description="DATABASE/NAME of the table; add @TAG or @VERSION for the runs that this version comes from"
    )
    run: str | None = Field(None, description="show this run in full, its options as YAML for --config on stdout")
    k: int = Field(20, ge=1, description="number of runs to list, those that began last")


def runs(options: RunsJob) -> Result:
    uri = table.parse(options.table)
    if options.run is not None:
        return _one(options.table, _named(uri, options.run))
    found, recorded = upkeep.runs(uri, options.k)
    summary = {"table": options.table, "recorded": recorded, "runs": [_as_dict(record) for record in found]}
    return Result(summary, "\n".join(_lines(options, found, recorded)))


def _named(uri: TableUri, run: str) -> RunRecord:
    record = upkeep.run(uri, run)
    if record is None:
        raise UsageError(f"run {run}: table {uri} has no record of it; `siglane runs --table {uri}` lists the runs")
    return record


def _one(name: str, record: RunRecord) -> Result:
    given = yaml.safe_dump(dict(record.options), sort_keys=False, allow_unicode=True) if record.options else ""
    lines = [f"{record.command} {name}", *_facts(record)]
    return Result({"table": name, "run": _as_dict(record)}, "", document=_commented(lines) + given)


def _commented(lines: Sequence[str]) -> str:
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)


def _facts(record: RunRecord) -> Iterator[str]:
    job = f", Ray job {record.ray_job}" if record.ray_job else ""
    yield f"run {record.id} by {record.user} on {record.host} (process {record.pid}{job}), siglane {record.siglane}"
    if record.ended is not None:
        end = f"{record.state.value} with exit code {record.exit_code} at {_time(record.ended)}"
    else:
        end = f"{record.state.value}, last seen at {_time(record.seen)}"
    yield f"started at {_time(record.started)}, {end}, after {progress.duration(record.seconds)}"
    if record.message is not None:
        yield record.message
    speed = "" if record.rows_per_second is None else f", {record.rows_per_second:.1f} rows/s"
    skipped = "" if record.rows_skipped is None else f"; {record.rows_skipped} were in the table already"
    yield f"rows: {record.rows_embedded} added, {record.rows_rejected} rejected{speed}{skipped}"
    if record.rows_changed is not None:
        yield f"rows whose columns were filled: {record.rows_changed}"
    yield f"commits: {_commits(record)}"
    if record.busy_with is not None:
        yield embed_lines.held_up(record.busy_with)
        yield embed_lines.at_work(record.busy_with)
    if record.encoders is not None:
        yield f"encoders: {_machines(record)}"
    yield f"relative paths below are from {record.folder}" if record.options else "a purge has deleted its options"


def _as_dict(record: RunRecord) -> dict[str, Any]:
    given = {name: value for name, value in asdict(record).items() if name not in _INTERNAL}
    rate = record.rows_per_second
    return {
        **given,
        "state": record.state.value,
        "seconds": round(record.seconds, 3),
        "rows_per_second": None if rate is None else round(rate, 3),
    }


def _lines(options: RunsJob, found: Sequence[RunRecord], recorded: int) -> Iterator[str]:
    if not found:
        yield f"{options.table}: no run is recorded"
        return
    yield from aligned([_HEADS, *(_cells(record) for record in found)])
    for record in found:
        if record.state is State.RUNNING and record.progress is not None:
            yield f"{record.id}: {progress.line(View.of_record(record.progress))}"
        elif record.message is not None:
            yield f"{record.id}: {record.message}"
    if options.k < recorded:
        yield f"… and {recorded - options.k} more: -k lists more"


def _cells(record: RunRecord) -> tuple[str, ...]:
    rate = record.rows_per_second
    return (
        *(record.id, record.command, _time(record.started), record.state.value, progress.duration(record.seconds)),
        str(record.rows_read if record.rows_changed is None else record.rows_changed),
        *(str(record.rows_rejected), "–" if record.rows_skipped is None else str(record.rows_skipped)),
        *("–" if rate is None else f"{rate:.1f}", _commits(record), f"{record.user}@{record.host}", _machines(record)),
    )


def _commits(record: RunRecord) -> str:
    if record.first_version is None:
        return "0"
    first, last = record.first_version, record.last_version
    return f"{record.commits} (version {first})" if first == last else f"{record.commits} (versions {first} to {last})"


def _machines(record: RunRecord) -> str:
    return "–" if record.encoders is None else f"{record.encoders} × {record.device}"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(RunsJob, runs, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
