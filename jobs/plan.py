"""Show how long a run would take and what it would cost, here and on other machines, and the command that starts it.

Embeds a few hundred rows of the input into a temporary folder. Nothing is written to the table.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from tempfile import gettempdir

from pydantic import Field

import siglip_core
from jobs import command, plan_warnings, progress
from jobs.command import Result
from jobs.options import as_words
from jobs.plan_warnings import ENOUGH_ROWS
from jobs.progress import duration
from pipeline import schema, storage
from pipeline.embedding import forecast
from pipeline.embedding.forecast import SHARE_OF_PEAK, Forecast, waits_for_source
from pipeline.embedding.machines import read_machines
from pipeline.embedding.plan import EmbedOptions, EmbedPlan
from pipeline.embedding.plan import plan as plan_embedding
from pipeline.embedding.rows_left import RowsLeft, estimated_rows, rows_left
from pipeline.embedding.trial import Trial, trial
from pipeline.progress import current
from pipeline.wording import noun

UNNAMED_TABLE = "DATABASE/NAME"


class PlanJob(EmbedOptions):
    """Every option of `siglane plan`: those of `embed`, and its own."""

    table: str = Field(UNNAMED_TABLE, description="DATABASE/NAME of the table, if rows may be in it already")
    rows: int = Field(256, ge=8, description="rows to embed for the measurement")
    machines: str | None = Field(
        None,
        description="YAML FILE with a list of machines: name, price_per_hour, cpus, gpus, gpu_teraflops (dense "
        "bfloat16, of one GPU), count",
    )


@progress.shown()
def plan(options: PlanJob) -> Result:
    machines = read_machines(options.machines) if options.machines else []
    current.begin("planning")
    planned = plan_embedding(_as_dry_run(options))
    found = _tried(planned, options.rows) if planned.chunks else None
    if found is None:
        return Result({"rows": 0, "forecasts": []}, _nothing_left(options))
    left = _rows_left(planned, found)
    spec = siglip_core.spec(options.model)
    forecasts = [
        forecast.here(found, left.rows),
        *(forecast.on(machine, found, spec, left.rows) for machine in machines),
    ]
    if not found.embedded:
        forecasts = []  # rejects are cheaper than rows with vectors
    vectors = [schema.IMAGE_VECTOR, *([schema.TEXT_VECTOR] if planned.taken and planned.taken.captions else [])]
    index = forecast.index_bytes_per_row(spec, vectors)
    return _result(options, planned, found, left, forecasts, index)


def _tried(planned: EmbedPlan, rows: int) -> Trial | None:
    import torch

    current.begin("embedding a few rows")
    return trial(planned, rows, "cuda" if torch.cuda.is_available() else "cpu")


def _nothing_left(options: PlanJob) -> str:
    shown = ", ".join(map(storage.redact, options.input))
    if options.table == UNNAMED_TABLE:
        return f"{shown}: it holds no row to embed"
    return f"{shown}: it holds no row that is left to embed into {options.table}"


def _as_dry_run(options: PlanJob) -> EmbedOptions:
    own = set(PlanJob.model_fields) - set(EmbedOptions.model_fields)
    table = f"{gettempdir()}/siglane-plan/none" if options.table == UNNAMED_TABLE else options.table
    return EmbedOptions.model_validate(options.model_dump(exclude=own) | {"table": table, "dry_run": True})


def _rows_left(planned: EmbedPlan, found: Trial) -> RowsLeft:
    left = rows_left(planned)
    return left if left.rows is not None else estimated_rows(planned, found.source_bytes_per_row)


def _command(options: PlanJob) -> str:
    """The command that embeds the input, with the options that were given."""
    given = [name for name in EmbedOptions.model_fields if name in options.model_fields_set | {"table"}]
    return storage.redact(shlex.join(["siglane", "embed", *as_words(options, given)]))


def _result(
    options: PlanJob, planned: EmbedPlan, found: Trial, left: RowsLeft, forecasts: Sequence[Forecast], index: int
) -> Result:
    table_bytes = None if left.rows is None or not found.embedded else round(found.bytes_per_row * left.rows)
    index_bytes = None if left.rows is None else index * left.rows
    run = _command(options)
    summary = {
        "rows": left.rows,
        "rows_are_exact": left.is_exact,
        "rows_known_from": left.known_from,
        "sampled": found.rows,
        "sampled_rejected": found.rejected,
        "is_enough": found.embedded >= ENOUGH_ROWS,
        "device": found.device,
        "cpus": found.cpus,
        "precision": planned.embed.identity.precision,
        "seconds_per_row": found.seconds,
        "share_waited_for_input": round(found.share_waited, 3),
        "taken_by_other_processes": None if found.taken_by_others is None else round(found.taken_by_others, 3),
        "forecasts": [asdict(item) for item in forecasts],
        "table_bytes": table_bytes,
        "index_bytes": index_bytes,
        "command": run,
    }
    identity = planned.embed.identity
    rates = ", ".join(f"{name} {1 / seconds:,.1f}" for name, seconds in found.seconds.items())
    lines = [
        f"{'' if left.is_exact else 'about '}{left.rows:,} {noun(left.rows or 0, 'row')} by {left.known_from}",
        f"{found.rows} of them embedded here, {found.rejected} rejected; {identity.model}, {identity.precision}, on "
        f"{found.device}; rows/s of each stage alone (a task on one of {found.cpus} CPUs): {rates}",
        *plan_warnings.about(found, options.rows, options.max_reject_fraction),
        *(["", *_table(forecasts), ""] if forecasts else []),
        f"the table: {_bytes(table_bytes)}; its indexes, if it is large enough for any (`siglane index`): "
        f"{_bytes(index_bytes)} more",
    ]
    if not all(item.is_measured for item in forecasts):
        lines.append(
            f"* not measured: CPUs as fast as those of this machine, and {SHARE_OF_PEAK:.0%} of the stated teraflops"
            + ("; an input that answers no faster than this machine was answered" if waits_for_source(found) else "")
        )
    return Result(summary, "\n".join([*lines, "", run]))


def _table(forecasts: Sequence[Forecast]) -> list[str]:
    width = max(len(item.machine) for item in forecasts) + 1
    heading = f"{'':{width}}  {'rows/s':>10}  {'time':>13}  {'cost':>10}  held up by"
    return [heading, *(_row(item, width) for item in forecasts)]


def _row(item: Forecast, width: int) -> str:
    name = item.machine + ("" if item.is_measured else "*")
    time = "-" if item.hours is None else duration(item.hours * 3600)
    cost = "-" if item.cost is None else "< 0.01" if 0 < item.cost < 0.01 else f"{item.cost:,.2f}"
    return f"{name:{width}}  {item.rows_per_second:>10,.1f}  {time:>13}  {cost:>10}  {item.bound_by}"


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(PlanJob, plan, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
