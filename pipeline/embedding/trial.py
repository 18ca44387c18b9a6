"""Embeds a few rows of an input into a temporary folder, stage by stage, to learn what each stage costs here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from pipeline import machine_load, schema, sources, table
from pipeline.embedding.batches import Batches
from pipeline.embedding.flow import Call, ModelStage, TaskStage, embed_stages, reading_with
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reports import EMBED, READ, WRITE
from pipeline.processes import cpus, seconds_at_work
from pipeline.sample import Chunk
from pipeline.stages.decode import chunk_table
from pipeline.stages.isolate import child_seconds_at_work, end_child
from pipeline.storage import retries

CHUNKS = 8
"""chunks from which the rows come, at equal distances over the input"""
FIRST_ROWS = 4
"""rows that pass through the stages before the clock runs: libraries are loaded then"""


@dataclass(frozen=True)
class Trial:
    """What rows cost on this machine."""

    rows: int
    rejected: int
    device: str
    cpus: int
    seconds: dict[str, float]
    """by stage: seconds a row, while nothing else runs. Reading and writing use one CPU, an encoder the device, or
    all CPUs."""
    bytes_per_row: float
    """in the table's files"""
    source_bytes_per_row: float
    """of the images and captions as stored in the input"""
    waited: float = 0.0
    """seconds a row, of those of reading: the source was waited for, and no CPU was used"""
    taken_by_others: float | None = None
    """share of the CPUs' time that other processes took meanwhile, 0 to 1; None where the system does not tell"""

    @property
    def embedded(self) -> int:
        return self.rows - self.rejected

    @property
    def share_waited(self) -> float:
        """Of the time of reading, 0 to 1."""
        return self.waited / self.seconds[READ]


@dataclass
class _Spent:
    """What the stages did, and how long they took."""

    rows: int = 0
    rejected: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys((READ, EMBED, WRITE), 0.0))
    waited: float = 0.0


def trial(plan: EmbedPlan, rows: int, device: str) -> Trial | None:
    """Embeds about so many rows. The table is not touched. None if the plan's chunks hold no row.

    Raises:
        SiglaneError: any error of a stage.
    """
    chunks = _sampled(plan.chunks, rows)
    before = machine_load.now()
    with TemporaryDirectory(prefix="siglane-plan-") as folder:
        apart = replace(plan, uri=table.parse_writable(f"{folder}/t"), replacing=table.Replacing())
        try:
            stages = [(stage.name, _loaded(stage, device)) for stage in reading_with(embed_stages(apart), 1)]
            _run(stages, [replace(chunks[0], limit=FIRST_ROWS)])
            bytes_before = _bytes_in(Path(folder))
            spent = _run(stages, chunks)
            if not spent.rows:  # no row in any of them; those that hold none are quick to read
                chunks = _first_with_rows(stages, plan.chunks, rows)
                bytes_before = _bytes_in(Path(folder))
                spent = _run(stages, chunks)
            written = _bytes_in(Path(folder)) - bytes_before
        finally:
            end_child()
            retries.take()
    if not spent.rows:
        return None
    after = machine_load.now()
    return Trial(
        rows=spent.rows,
        rejected=spent.rejected,
        device=device,
        cpus=cpus(),
        seconds={name: seconds / spent.rows for name, seconds in spent.seconds.items()},
        bytes_per_row=written / spent.rows,
        source_bytes_per_row=_source_bytes(plan, chunks),
        waited=spent.waited / spent.rows,
        taken_by_others=after.others_since(before) if before and after else None,
    )


def _sampled(chunks: Sequence[Chunk], rows: int) -> list[Chunk]:
    count = min(CHUNKS, len(chunks))
    chosen = [chunks[place * len(chunks) // count] for place in range(count)]
    most = -(-rows // count)
    return [replace(chunk, limit=min(most, chunk.limit or most)) for chunk in chosen]


def _first_with_rows(stages: Sequence[tuple[str, Call]], chunks: Sequence[Chunk], rows: int) -> list[Chunk]:
    """The first chunk that holds a row, if there is one."""
    limited = (replace(chunk, limit=min(rows, chunk.limit or rows)) for chunk in chunks)
    return list(islice((chunk for chunk in limited if _run(stages, [replace(chunk, limit=1)]).rows), 1))


def _loaded(stage: TaskStage | ModelStage, device: str) -> Call:
    if isinstance(stage, TaskStage):
        return stage.call
    return Batches(stage.load(stage.settings, device), stage.batch_size, device)


def _run(stages: Sequence[tuple[str, Call]], chunks: Sequence[Chunk]) -> _Spent:
    """Each stage runs to its end before the next one begins."""
    spent = _Spent()
    for chunk in chunks:
        tables = [chunk_table([chunk])]
        for name, call in stages:
            began, worked = time.monotonic(), _at_work()
            tables = [result for given in tables for result in _results(call, given)]
            seconds = time.monotonic() - began
            spent.seconds[name] += seconds
            if name == READ:
                spent.waited += max(0.0, seconds - (_at_work() - worked))
            if name == EMBED:
                spent.rows += sum(table.num_rows for table in tables)
                spent.rejected += sum(_rejected(table) for table in tables)
    return spent


def _at_work() -> float:
    """Seconds in which this process or its child computed, or waited for a CPU."""
    return seconds_at_work() + child_seconds_at_work()


def _results(call: Call, given: pa.Table) -> list[pa.Table]:
    result = call(given)
    return [result] if isinstance(result, pa.Table) else list(result)


def _rejected(rows: pa.Table) -> int:
    return sum(status == schema.REJECTED for status in rows[schema.STATUS].to_pylist())


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _source_bytes(plan: EmbedPlan, chunks: Sequence[Chunk]) -> float:
    """Mean bytes of images and captions of the sampled rows, which are read once more for it."""
    read = partial(sources.formats()[plan.decode.input_format].read, options=plan.decode.options)
    samples = chain.from_iterable(islice(read(chunk), chunk.limit) for chunk in chunks)
    sizes = [len(sample.image or b"") + len(sample.caption or "") for sample in samples]
    return sum(sizes) / len(sizes)
