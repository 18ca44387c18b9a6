"""Embed a dataset's images and captions into a table.

Running the same command again goes on where the last run stopped, and does nothing when all is done.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from jobs import command
from jobs.command import Result
from pipeline import flow, plan, schema
from pipeline.on_ray.options import RayOptions
from pipeline.plan import EmbedOptions
from pipeline.storage import retries

log = logging.getLogger(__name__)


class EmbedJob(RayOptions, EmbedOptions):
    """Every option of `siglane embed`."""

    local: bool = Field(False, description="run the stages in a plain loop in this process, without Ray")
    max_reject_fraction: float = Field(0.2, ge=0, le=1, description="more rejected rows than this end with exit code 3")

    @model_validator(mode="after")
    def _local_or_ray(self) -> EmbedJob:
        if self.local and (self.address is not None or self.num_gpus is not None):
            raise ValueError("--local runs without Ray: leave out --address and --num-gpus")
        return self


def embed(options: EmbedJob) -> Result:
    started = time.monotonic()
    planned = flow.record_copies(plan.plan(options))
    outcomes: flow.Outcomes = Counter()

    def on_commit(committed: flow.Outcomes) -> None:
        outcomes.update(committed)
        if committed:
            log.info("committed %d rows to %s, %d in this run", committed.total(), planned.uri, outcomes.total())

    if options.local and planned.chunks:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        log.info("encoding on %s", device)
        flow.embed(planned, lambda stages, chunks: flow.run_local(stages, chunks, device), on_commit)
    elif planned.chunks:
        from pipeline.on_ray import cluster, run

        with cluster.connect(options) as encoders:
            log.info("%d encoders on %s", encoders.count, encoders.device)
            flow.embed(planned, lambda stages, chunks: run.run(stages, chunks, encoders), on_commit)
    return _result(options, outcomes, planned.skipped, time.monotonic() - started)


def _result(options: EmbedJob, outcomes: flow.Outcomes, skipped: int, seconds: float) -> Result:
    removed = outcomes[schema.REMOVED, None]
    read = outcomes.total() - removed
    reasons = {str(reason): rows for (status, reason), rows in outcomes.items() if status == schema.REJECTED}
    rejected = sum(reasons.values())
    retried = retries.take()
    summary = {
        "table": options.table,
        "read": read,
        "success": read - rejected,
        "rejected": rejected,
        "rejected_by_reason": reasons,
        "skipped": skipped + removed,
        "retries": retried.total(),
        "retries_by_cause": dict(retried),
        "seconds": round(seconds, 3),
        "rows_per_second": round(read / seconds, 3),
    }
    why = _listed(reasons)
    text = (
        f"{options.table}: read {read} = embedded {read - rejected} + rejected {rejected}{f' ({why})' if why else ''}; "
        f"{skipped + removed} were there already; {seconds:.1f} s, {read / seconds:.1f} rows/s"
    )
    if retried:
        text += f"; a store was asked again {retried.total()} times ({_listed(retried)})"
    if rejected > options.max_reject_fraction * read:
        advice = (
            f"{rejected} of {read} rows were rejected, more than --max-reject-fraction {options.max_reject_fraction}; "
            "their stage, reason and error_message are in the table"
        )
        return Result(summary, text, command.TOO_MANY_REJECTS, advice)
    return Result(summary, text)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(EmbedJob, embed, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
