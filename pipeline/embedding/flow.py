"""The dataflow: chunks -> read and decode -> embed -> write -> one committer -> table."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from pipeline.embedding.in_flight import Event, InFlight, Watched
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reject_rate import Outcomes, RecentRows
from pipeline.embedding.time_bounds import Bound, Watch
from pipeline.sample import Chunk
from pipeline.stages.decode import chunk_table
from pipeline.stages.embed import Embed
from pipeline.stages.isolate import Isolated
from pipeline.stages.write import STAGED, WriteFragments
from pipeline.storage import retries
from pipeline.table import Committer, Lease, Staged, WholeSources, record_versions

Call = Callable[[pa.Table], pa.Table | Iterator[pa.Table]]


@dataclass(frozen=True)
class TaskStage:
    """A stage without state: runs anywhere there is a CPU."""

    name: str
    call: Call


@dataclass(frozen=True)
class ModelStage:
    """A stage that holds the model: made once in each process that has a device, as `load(settings, device)`."""

    name: str
    load: Callable[[Any, str], Call]
    settings: Any
    batch_size: int
    """input rows that go to it at once"""


Stage = TaskStage | ModelStage
Runner = Callable[[Sequence[Stage], Sequence[Chunk], InFlight], Generator[Staged, None, None]]
"""runs the stages over the chunks, and tells which chunks are in flight"""


def embed_stages(plan: EmbedPlan) -> list[Stage]:
    return [
        TaskStage("read and decode", Isolated(plan.decode, plan.sample_seconds, plan.sample_memory)),
        ModelStage("embed", Embed, plan.embed, plan.embed.options.batch_size),
        TaskStage("write", WriteFragments(plan.uri, plan.embed.table_schema, frozenset(plan.replacing.sources))),
    ]


def record_copies(plan: EmbedPlan) -> EmbedPlan:
    """Notes in the table which sources were found to be copies, so that later runs need not compare them again."""
    if plan.table is None or not plan.copied:
        return plan
    return replace(plan, recorded=record_versions(plan.table, plan.copied), copied={})


@dataclass(frozen=True)
class Stop:
    """Why a run has ended before its work was done; what it had finished is in the table, less `uncommitted`."""

    why: Bound | Literal["max-reject-fraction"]
    recent: Outcomes
    """of the last rows"""
    uncommitted: Outcomes
    oldest: Mapping[str, str] | None = None
    """`source`, `node` and `since` of the chunk that had been in flight for longest, where that is known"""


def embed(
    plan: EmbedPlan,
    run: Runner,
    on_commit: Callable[[Outcomes], None],
    watch: Watch | None = None,
    job: str | None = None,
) -> Stop | None:
    """Runs the flow over what the plan has left to do, as Ray's `job`; tells `on_commit` of the rows of each commit.

    What was tried again wherever the stages ran is in this process's `retries` afterwards.

    Returns:
        what stopped it, None where all is done.
    """
    plan = record_copies(plan)
    if not plan.chunks:
        return None
    watch = watch or Watch()
    committer = Committer(plan.uri, plan.embed.table_schema, plan.table, plan.replacing, plan.settings)
    if plan.recorded is not None:
        committer.look_at(plan.recorded)
    whole = WholeSources(plan.replacing.sources)
    recent = RecentRows(plan.max_reject_fraction)
    pending: list[Staged] = []
    in_flight = InFlight()
    running = run(embed_stages(plan), plan.chunks, in_flight)
    with watch, Lease(plan.uri, plan.work, job, in_flight.oldest) as lease, closing(running):
        lease.keep()
        last_commit = time.monotonic()
        try:
            for staged in watch.items(running):
                retries.add(staged.retries)
                in_flight.staged(sum(staged.outcomes.values()))
                pending += whole.released_by(staged)
                recent.add(staged.outcomes)
                if recent.are_too_bad:
                    uncommitted, pending = _outcomes([*pending, *whole.waiting]), []
                    return Stop("max-reject-fraction", recent.outcomes, uncommitted)
                # rows that look bad wait for more of them, which tell
                if time.monotonic() - last_commit >= plan.commit_seconds and not recent.look_bad:
                    on_commit(committer.commit(pending))
                    pending, last_commit = [], time.monotonic()
                    lease.keep()
                    committer.merge_fragments()
            if watch.reached:
                return Stop(watch.reached, recent.outcomes, _outcomes(whole.waiting), in_flight.oldest())
            pending += whole.rest()
        finally:
            # a run that fails or is stopped keeps what is finished
            on_commit(committer.commit(pending))
        committer.merge_fragments(run_is_over=True)
    return None


def _outcomes(staged: Sequence[Staged]) -> Outcomes:
    return sum((Counter(item.outcomes) for item in staged), Counter())


def run_local(
    stages: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight, device: str
) -> Generator[Staged, None, None]:
    """The plain loop: every stage in this process, one table after another. The debugger of the Ray flow."""
    tables: Iterator[pa.Table] = (chunk_table([chunk]) for chunk in chunks)
    for stage in watched(stages, in_flight.hear):
        call = stage.call if isinstance(stage, TaskStage) else stage.load(stage.settings, device)
        tables = _through(call, tables)
    for table in tables:
        yield from staged_in(table)


def watched(stages: Sequence[Stage], tell: Callable[[Event], None]) -> list[Stage]:
    """The same stages; the first tells of each chunk that it begins and ends to read."""
    first, *others = stages
    assert isinstance(first, TaskStage)
    return [replace(first, call=Watched(first.call, tell)), *others]


def staged_in(table: pa.Table) -> Iterator[Staged]:
    for pickled in table[STAGED].to_pylist():
        yield pickle.loads(pickled)


def _through(call: Call, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        result = call(table)
        yield from [result] if isinstance(result, pa.Table) else result
