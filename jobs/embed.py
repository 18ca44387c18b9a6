"""Embed a dataset's images and captions into a table.

Running the same command again continues where the last run stopped. It does nothing when all rows are embedded.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from jobs import command, embed_lines, end_hook, log_format, progress, recorded
from jobs.command import Result
from pipeline import encoder, processes, schema, this_run
from pipeline.embedding import commit_loop, flow, plan
from pipeline.embedding.commit_loop import Ended, Runner, Stop
from pipeline.embedding.plan import EmbedOptions, EmbedPlan
from pipeline.embedding.reject_rate import Outcomes, rejected
from pipeline.embedding.rows_left import RowsLeft, rows_left
from pipeline.embedding.time_bounds import Watch
from pipeline.errors import LostError
from pipeline.on_ray.options import RayOptions
from pipeline.progress import current
from pipeline.sample import Taken
from pipeline.storage import retries
from pipeline.wording import counted, noun
from siglip_core.precision import Precision

log = logging.getLogger(__name__)

TRIES_WITHOUT_A_ROW = 2
"""How often in a row the run may lose nodes or encoders without committing a row. A committed row resets the count."""


class EmbedJob(RayOptions, EmbedOptions):
    """Every option of `siglane embed`."""

    local: bool = Field(False, description="run the stages in a plain loop in this process, without Ray")
    max_hours: float | None = Field(
        None, gt=0, description="after this time the run commits its finished work and ends with exit code 4"
    )
    stall_timeout: float = Field(
        1800.0,
        gt=0,
        description="end with exit code 4 if nothing finishes for this many seconds while the encoders are ready",
    )

    log_format: Literal["text", "json"] = Field(
        "text", description="json: each log line is an object, and each commit has one"
    )
    on_done: str | None = Field(
        None,
        description="URL or COMMAND that is told how the run ended: it gets the summary as JSON, by POST or on stdin",
        json_schema_extra={"secret": True},  # the path of a URL, or a header that a command sends, may be a key
    )

    @model_validator(mode="after")
    def _local_or_ray(self) -> EmbedJob:
        if self.local and (self.address is not None or self.num_gpus is not None or self.encoders_per_gpu > 1):
            raise ValueError(
                "--local runs without Ray: leave out --address, --num-gpus, --encoders-per-gpu and --wait-for-nodes"
            )
        return self


@progress.shown()
def embed(options: EmbedJob) -> Result:
    return end_hook.told(options.on_done, "embed", partial(_embed, options))


@recorded.in_table("embed", when=lambda options: not options.dry_run)
def _embed(options: EmbedJob) -> Result:
    started = time.monotonic()
    if options.log_format == "json":
        log_format.use_json()
    processes.let_threads_sleep()  # of this process, and of a cluster that it starts
    outcomes: Outcomes = Counter()
    current.begin("planning")
    planned = plan.plan(options, _fast_precision(options))
    log.info("vectors in %s", _precision(options, planned))
    if options.dry_run:
        return _plan_as_result(options, planned, time.monotonic() - started)
    if planned.taken is not None:
        log.info("%s", _taken(planned.taken))
    examples: dict[str, str] = {}
    ended = _run(options, planned, outcomes, examples, started)
    return _result(options, outcomes, examples, ended, planned, time.monotonic() - started)


def _taken(taken: Taken) -> str:
    """What images and captions are taken from."""
    if taken.captions is None:
        return f"images are {taken.images}; there are no captions: the images are embedded alone"
    stray = (
        f"; {counted(len(taken.stray), 'caption file matches', 'caption files match')} no image, e.g. {taken.stray[0]}"
        if taken.stray
        else ""
    )
    return f"images are {taken.images}, captions are {taken.captions}{stray}"


def _run(options: EmbedJob, planned: EmbedPlan, outcomes: Outcomes, examples: dict[str, str], started: float) -> Ended:
    """Runs the flow until it is done or must stop, and adds to `outcomes` and to the `examples` of rejects.

    Work that a cluster loses is replanned.
    """

    def on_commit(committed: Outcomes) -> None:
        is_first = not outcomes
        outcomes.update(committed)
        # The first one tells that the table is there; from then on the progress says how far the run is.
        if committed and (is_first or options.log_format == "json"):
            log.info(
                *(
                    "committed %s to %s, %d in this run",
                    counted(committed.total(), "row"),
                    planned.uri,
                    outcomes.total(),
                ),
                extra={"fields": _commit_fields(str(planned.uri), committed, outcomes)},
            )

    tries_left = TRIES_WITHOUT_A_ROW
    while True:
        planned, before = commit_loop.record_copies(planned), outcomes.total()
        if not planned.chunks:
            return Ended()
        try:
            watch = Watch(_seconds_left(options, started), options.stall_timeout)
            with _runner(options, planned, watch) as (run, job):
                return commit_loop.embed(planned, run, on_commit, watch, job, examples)
        except LostError as error:
            tries_left = TRIES_WITHOUT_A_ROW if outcomes.total() > before else tries_left - 1
            if not tries_left:
                raise
            log.warning("%s; the remaining work is planned again", error.what)
        current.begin("planning again")
        planned = plan.plan(options, _fast_precision(options))


def _commit_fields(table: str, committed: Outcomes, outcomes: Outcomes) -> dict[str, Any]:
    """What the log line of a commit tells to programs."""
    view = current.look()
    counts = view.details.counts
    return {
        "event": "commit",
        "table": table,
        "rows": committed.total(),
        "rejected": rejected(committed),
        "rows_in_run": outcomes.total(),
        "rows_expected": view.details.total,
        "rows_per_second": None if view.rows_per_second is None else round(view.rows_per_second, 3),
        "commit_seconds_in_run": None if counts is None else round(counts.commit_seconds, 3),
        "bytes_written": None if counts is None else counts.bytes_written,
        "retries": None if counts is None else counts.retries,
    }


def _fast_precision(options: EmbedJob) -> Callable[[], Precision]:
    """How to find the precision that the encoders compute fast, on the machines that will run them."""
    if options.local or (options.address or os.environ.get("RAY_ADDRESS", "local")) == "local":
        return partial(encoder.fast_here, options.num_gpus != 0)

    def on_cluster() -> Precision:
        current.begin("asking the cluster for its precision")
        from pipeline.on_ray.precision import fast_on_cluster

        return fast_on_cluster(options)

    return on_cluster


def _precision(options: EmbedJob, planned: EmbedPlan) -> str:
    """The precision of the vectors, and why it is this one."""
    precision = planned.embed.identity.precision
    if options.precision != "auto":
        return f"{precision}, as asked"
    if planned.table is not None:
        return f"{precision}, as in the table"
    return f"{precision}: the encoders' hardware has {'' if precision == 'bfloat16' else 'no '}units for bfloat16"


def _seconds_left(options: EmbedJob, started: float) -> float | None:
    return None if options.max_hours is None else options.max_hours * 3600 - (time.monotonic() - started)


@contextmanager
def _runner(options: EmbedJob, planned: EmbedPlan, watch: Watch) -> Iterator[tuple[Runner, str | None]]:
    """The runner of the flow's stages, and the Ray job's id: the plain loop, or Ray until the block ends."""
    if options.local:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        log.info("encoding on %s", device)
        this_run.current.encoders, this_run.current.device = 1, device
        yield partial(flow.run_local, device=device), None
        return
    address = options.address or os.environ.get("RAY_ADDRESS", "local")
    current.begin("starting Ray" if address == "local" else f"connecting to Ray at {address}")
    from pipeline.on_ray import cluster, embedding, metrics, nodes

    with cluster.connect_encoders(options) as encoders:
        if address != "local":
            nodes.require_ready(*_local_paths(planned))
        log.info("%s on %s", counted(encoders.count, "encoder"), encoders.device)
        run = this_run.current
        run.job = cluster.job()
        run.encoders, run.device = encoders.count, encoders.device
        with metrics.told(current, options.table):
            yield partial(embedding.run, encoders=encoders, watch=watch), run.job


def _local_paths(planned: EmbedPlan) -> tuple[dict[str, Path], Path | None]:
    """What every node must see of this machine's disk: what is read there, by what it is, and the table's folder."""
    first, model = planned.chunks[0], planned.embed.options.model
    read = {f"input {first.sources[0].path}": first.sources[0].uri.removeprefix("file://")}
    if Path(model).is_dir():
        read[f"model {model}"] = str(min(Path(model).iterdir()))
    local = {what: path for what, uri in read.items() if "://" not in uri and (path := Path(uri)).is_absolute()}
    database = planned.uri.database
    return local, None if "://" in database else Path(database)


def _plan_as_result(options: EmbedJob, planned: EmbedPlan, seconds: float) -> Result:
    """What the run would do, with the summary fields of a run that did nothing."""
    sources = {source.path: source.size for chunk in planned.chunks for source in chunk.sources}
    identity = planned.embed.identity
    left = rows_left(planned)
    done = _result(options, Counter(), {}, Ended(), planned, seconds)
    summary = {
        **done.summary,
        "dry_run": True,
        "input_format": planned.decode.input_format,
        "sources": len(sources),
        "bytes": sum(sources.values()),
        "rows": left.rows,
        "rows_are_exact": left.rows is not None and left.is_exact,
        "rows_known_from": left.known_from,
        "chunks": len(planned.chunks),
        "dataset": planned.uri.dataset,
        "table_exists": planned.table is not None,
        "model": asdict(identity),
    }
    there = "exists" if planned.table else "would be created"
    text = (
        f"dry run, nothing written: {counted(len(sources), f'{planned.decode.input_format} source')} left to embed "
        f"({_rows_left(left)}; {counted(sum(sources.values()), 'byte')}, {counted(len(planned.chunks), 'chunk')}); "
        f"table {planned.uri.dataset} {there}, {counted(planned.skipped, 'row is', 'rows are')} already in it; "
        f"model {identity.model}: weights {identity.weights[:12]}…, {identity.preprocessing}, {identity.precision}, "
        f"D {identity.dimension}"
    )
    if planned.taken is not None:
        text += f"; {_taken(planned.taken)}"
    return Result(summary, text)


def _rows_left(left: RowsLeft) -> str:
    if left.rows is None:
        return "the number of rows is not known before they are read"
    return f"{'' if left.is_exact else 'about '}{counted(left.rows, 'row')} by {left.known_from}"


def _result(
    options: EmbedJob,
    outcomes: Outcomes,
    examples: Mapping[str, str],
    ended: Ended,
    planned: EmbedPlan,
    seconds: float,
) -> Result:
    """`examples`: the message of one reject for each reason."""
    stop, skipped = ended.stop, planned.skipped
    removed, success, rejects = outcomes[schema.REMOVED, None], outcomes[schema.SUCCESS, None], rejected(outcomes)
    read = outcomes.total() - removed
    assert read == success + rejects, f"rows of unknown status were committed: {outcomes}"
    reasons = _by_reason(outcomes)
    uncommitted = _by_reason(stop.uncommitted) if stop else {}
    examples = {reason: message for reason, message in examples.items() if reason in reasons | uncommitted}
    retried = retries.take()
    summary = {
        "table": options.table,
        "precision": planned.embed.identity.precision,
        "images_from": planned.taken and planned.taken.images,
        "captions_from": planned.taken and planned.taken.captions,
        "without_captions": planned.without_captions,
        "stray_captions": len(planned.taken.stray) if planned.taken else 0,
        "read": read,
        "success": success,
        "rejected": rejects,
        "rejected_by_reason": reasons,
        "reject_examples": examples,
        "skipped": skipped + removed,
        "dropped": ended.dropped,
        "retries": retried.total(),
        "retries_by_cause": dict(retried),
        "stopped": stop and stop.why,
        "uncommitted": stop.uncommitted.total() if stop else 0,
        "uncommitted_by_reason": uncommitted,
        "seconds": round(seconds, 3),
        "rows_per_second": round(read / seconds, 3),
        **embed_lines.work_fields(ended.work),
    }
    text = (
        f"{options.table}: read {read} = embedded {success} + rejected {rejects}{_in_brackets(reasons)}; "
        f"{counted(skipped + removed, 'was', 'were')} already in the table; {seconds:.1f} s, "
        f"{read / seconds:.1f} rows/s"
    )
    if planned.without_captions:
        text += (
            f"; {planned.without_captions} of them have no captions in the table, but this input has: run `siglane "
            "captions` with the same --table, --input and --caption-col"
        )
    if planned.taken is not None and planned.taken.captions is None:
        text += "; images alone, without captions"
    if planned.new_columns and skipped:
        text += (
            f"; the {skipped} rows that were in the table already have no {_of_images(planned)}: they are computed "
            "where an image is embedded"
        )
    if ended.dropped:
        text += f"; {counted(ended.dropped, 'row was', 'rows were')} dropped, because another run had committed them"
    if retried:
        text += f"; {counted(retried.total(), 'storage request')} retried ({_listed(retried)})"
    text += embed_lines.work(ended.work)
    text += "".join(f"\nrejected as {reason}, e.g. {message}" for reason, message in sorted(examples.items()))
    code, advice = _ending(options, outcomes, stop)
    return Result(summary, text, code, advice)


def _of_images(planned: EmbedPlan) -> str:
    """What the run adds to the table, for people."""
    of_statistics = any(name in schema.IMAGE_STATISTICS for name in planned.new_columns.names)
    of_thumbnails = schema.THUMBNAIL in planned.new_columns.names
    return " and no ".join(["image statistics"] * of_statistics + ["thumbnails"] * of_thumbnails)


def _ending(options: EmbedJob, outcomes: Outcomes, stop: Stop | None) -> tuple[int, str | None]:
    """The exit code, and why it is not 0."""
    go_on = "finished work is kept, run the same command again to continue"
    limit = f"more than --max-reject-fraction {options.max_reject_fraction}"
    if stop is None:
        read, rejects = outcomes.total() - outcomes[schema.REMOVED, None], rejected(outcomes)
        if rejects <= options.max_reject_fraction * read:
            return command.DONE, None
        where = f"`siglane rejects --table {options.table}` lists them"
        return (
            command.TOO_MANY_REJECTS,
            f"{rejects} of {counted(read, 'row')} {noun(rejects, 'was', 'were')} rejected, {limit}; {where}",
        )
    if stop.why == "max-hours":
        return command.STOPPED, f"stopped after --max-hours {options.max_hours:g}; {go_on}"
    if stop.why == "stall-timeout":
        stalled = f"stopped: nothing finished for --stall-timeout {options.stall_timeout:g} s"
        oldest = stop.oldest
        chunk = f"; longest in flight: {oldest['source']} on {oldest['node']} since {oldest['since']}" if oldest else ""
        return command.STOPPED, f"{stalled}{chunk}; {go_on}"
    recent, rejects = stop.recent.total(), rejected(stop.recent)
    return command.TOO_MANY_REJECTS, (
        f"stopped: {rejects} of the last {recent} rows were rejected{_in_brackets(_by_reason(stop.recent))}, {limit}; "
        f"{counted(stop.uncommitted.total(), 'row was', 'rows were')} not committed; fix the input or the options that "
        "describe it, or raise --max-reject-fraction, and run again"
    )


def _by_reason(outcomes: Outcomes) -> dict[str, int]:
    return {str(reason): rows for (status, reason), rows in outcomes.items() if status == schema.REJECTED and rows}


def _in_brackets(reasons: Mapping[str, int]) -> str:
    return f" ({_listed(reasons)})" if reasons else ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(EmbedJob, embed, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
