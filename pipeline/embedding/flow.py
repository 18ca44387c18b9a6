"""The dataflow: chunks -> read and decode -> embed -> write -> one committer (`commit_loop`) -> table."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from pipeline.embedding.batches import Batches
from pipeline.embedding.in_flight import Event, InFlight, Watched
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reports import EMBED, READ, WRITE, Metered, MeteredLoad
from pipeline.iteration import ahead
from pipeline.sample import Chunk
from pipeline.stages.decode import chunk_table
from pipeline.stages.embed import Embed
from pipeline.stages.isolate import Isolated, end_child
from pipeline.stages.write import STAGED, WriteFragments
from pipeline.table import Staged

Call = Callable[[pa.Table], pa.Table | Iterator[pa.Table]]


@dataclass(frozen=True)
class TaskStage:
    """A stage without state, which can run on any CPU."""

    name: str
    call: Call
    end: Callable[[], None] | None = None
    """ends what the stage does at the moment, called from another thread; only a stage that has it can run ahead"""


@dataclass(frozen=True)
class ModelStage:
    """A stage that keeps the model loaded. Each process with a device makes it once, by `load(settings, device)`."""

    name: str
    load: Callable[[Any, str], Call]
    settings: Any
    batch_size: int
    """input rows per call"""


Stage = TaskStage | ModelStage


def embed_stages(plan: EmbedPlan) -> list[Stage]:
    return [
        TaskStage(READ, Isolated(plan.decode, plan.sample_seconds, plan.sample_memory), end_child),
        ModelStage(EMBED, Embed, plan.embed, plan.embed.options.batch_size),
        TaskStage(WRITE, WriteFragments(plan.uri, plan.embed.table_schema, frozenset(plan.replacing.sources))),
    ]


def reading_with(stages: Sequence[Stage], threads: int) -> list[Stage]:
    """The same stages; so many threads decode in each child, and not one a CPU."""
    return [
        replace(stage, call=replace(stage.call, threads=threads))
        if isinstance(stage, TaskStage) and isinstance(stage.call, Isolated)
        else stage
        for stage in stages
    ]


def run_local(
    stages: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight, device: str
) -> Generator[Staged, None, None]:
    """The plain loop: runs every stage in this process, one table after another. Also useful to debug the Ray flow.

    The child that reads and decodes runs one table ahead of the others, and begins while the model is loaded.
    """
    tables: Iterator[pa.Table] = (chunk_table([chunk]) for chunk in chunks)
    for stage in watched(stages, in_flight.hear):
        if isinstance(stage, TaskStage):
            tables = _through(stage.call, tables)
            tables = ahead(tables, stage.end) if stage.end else tables
        else:
            tables = _through_model(stage, device, tables)
    for table in tables:
        yield from staged_in(table)


def watched(stages: Sequence[Stage], tell: Callable[[Event], None]) -> list[Stage]:
    """The same stages. The first reports when it begins a chunk and when it has read it, and each how long it works."""
    first, *others = stages
    assert isinstance(first, TaskStage)
    return [replace(first, call=Watched(first.call, tell)), *(_metered(stage, tell) for stage in others)]


def _metered(stage: Stage, tell: Callable[[Event], None]) -> Stage:
    if isinstance(stage, TaskStage):
        return replace(stage, call=Metered(stage.name, stage.call, tell))
    return replace(stage, load=MeteredLoad(stage.name, stage.load, tell))


def staged_in(table: pa.Table) -> Iterator[Staged]:
    yield from map(pickle.loads, table[STAGED].to_pylist())


def _through_model(stage: ModelStage, device: str, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(1) as thread:
        loading = thread.submit(stage.load, stage.settings, device)
        first = list(islice(tables, 1))
        call = Batches(loading.result(), stage.batch_size, device)
    yield from _through(call, chain(first, tables))


def _through(call: Call, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        result = call(table)
        yield from [result] if isinstance(result, pa.Table) else result
