"""Runs the flow and commits its results at intervals. Ends early if a limit is reached."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

from pipeline import progress, this_run
from pipeline.bottleneck import Work
from pipeline.embedding import row_counts
from pipeline.embedding.flow import Stage, embed_stages
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.measures import Measures
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reject_rate import Outcomes, RecentRows, rejected
from pipeline.embedding.time_bounds import Bound, Watch
from pipeline.sample import Chunk
from pipeline.storage import retries
from pipeline.table import Committer, Lease, Staged, WholeSources, add_columns, open_table, record_versions

Runner = Callable[[Sequence[Stage], Sequence[Chunk], InFlight], Generator[Staged, None, None]]
"""runs the stages over the chunks, and reports which chunks are in flight"""


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    stop: Stop | None = None
    """what stopped it; None where all is done"""
    dropped: int = 0
    """staged rows that another run had committed by then"""
    work: Work | None = None
    """what the run was busy with, where it took long enough to tell"""


@dataclass(frozen=True)
class Stop:
    """Why a run ended before its work was done. Its finished rows are in the table, except `uncommitted`."""

    why: Bound | Literal["max-reject-fraction"]
    recent: Outcomes
    """outcomes of the last rows"""
    uncommitted: Outcomes
    oldest: Mapping[str, str] | None = None
    """`source`, `node` and `since` of the chunk that was in flight longest, if known"""


def record_copies(plan: EmbedPlan) -> EmbedPlan:
    """Records in the table which sources are copies, so that later runs need not compare them again."""
    if plan.table is None or not plan.copied:
        return plan
    return replace(plan, recorded=record_versions(plan.table, plan.copied), copied={})


def embed(
    plan: EmbedPlan,
    run: Runner,
    on_commit: Callable[[Outcomes], None],
    watch: Watch | None = None,
    job: str | None = None,
    examples: dict[str, str] | None = None,
) -> Ended:
    """Runs the flow over the chunks of the plan and commits the rows.

    Afterwards `retries` in this process has the number of storage retries of all stages, wherever they ran.

    Args:
        plan: what is left to do.
        run: runs the stages.
        on_commit: called with the rows of each commit.
        watch: the time limits.
        job: the id of Ray's job, for the lease.
        examples: filled with the message of one rejected row for each reason.

    Raises:
        RowsLostError: the flow gave fewer rows than there were samples; the rows that it gave are committed.
        SiglaneError: any error of a stage or a commit.
    """
    plan = record_copies(plan)
    if not plan.chunks:
        return Ended()
    watch = watch or Watch()
    committer = Committer(plan.uri, plan.embed.table_schema, plan.table, plan.replacing, plan.settings)
    if plan.recorded is not None:
        committer.look_at(plan.recorded)
    if plan.new_columns:
        add_columns(plan.uri, plan.new_columns)
        committer.look_at(open_table(plan.uri))
    whole = WholeSources(plan.replacing.sources)
    recent = RecentRows(plan.max_reject_fraction)
    pending: list[Staged] = []
    measures = Measures(plan, progress.current)
    in_flight = InFlight(measures.hear)
    progress.current.begin("embedding", details=lambda: measures.details(in_flight.oldest()))
    committed = 0

    def commit() -> None:
        nonlocal committed
        began = time.monotonic()
        with measures.committing():
            landed = committer.commit(pending)
        if landed:
            measures.committed(landed.total(), time.monotonic() - began)
        committed += landed.total()
        on_commit(landed)

    running = run(embed_stages(plan), plan.chunks, in_flight)
    with watch, Lease(plan.uri, plan.work, job, in_flight.oldest) as lease, closing(running):
        lease.keep()
        last_commit = time.monotonic()
        try:
            for staged in watch.items(running):
                retries.add(staged.retries)
                in_flight.staged(staged.rows)
                rejects = rejected(Counter(staged.outcomes))
                measures.staged(staged.rows, rejects, staged.size, sum(staged.retries.values()))
                if examples is not None:
                    examples.update({**staged.reject_examples, **examples})
                pending += whole.released_by(staged)
                recent.add(staged.outcomes)
                if recent.are_too_bad:
                    uncommitted, pending = _outcomes([*pending, *whole.waiting]), []
                    stop = Stop("max-reject-fraction", recent.outcomes, uncommitted)
                    return Ended(stop, committer.dropped, measures.work())
                # If too many of the last rows are rejects, the commit waits until there are enough rows to judge.
                if time.monotonic() - last_commit >= plan.commit_seconds and not recent.look_bad:
                    commit()
                    pending, last_commit = [], time.monotonic()
                    lease.keep()
                    with measures.committing():
                        committer.merge_fragments()
            if watch.reached:
                stop = Stop(watch.reached, recent.outcomes, _outcomes(whole.waiting), in_flight.oldest())
                return Ended(stop, committer.dropped, measures.work())
            pending += whole.rest()
        finally:
            # A run that fails or is stopped keeps its finished rows.
            commit()
            this_run.current.work = measures.work()
        committer.merge_fragments(run_is_over=True)
    row_counts.check(plan, in_flight, committed + committer.dropped)
    return Ended(dropped=committer.dropped, work=measures.work())


def _outcomes(staged: Sequence[Staged]) -> Outcomes:
    return sum((Counter(item.outcomes) for item in staged), Counter())
