"""Embeds a few rows of an input into a temporary folder, stage by stage, to learn what each stage costs here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from pipeline import schema, sources, table
from pipeline.embedding.batches import Batches
from pipeline.embedding.flow import Call, ModelStage, TaskStage, embed_stages, reading_with
from pipeline.embedding.plan import EmbedPlan
from pipeline.embedding.reports import EMBED, READ, WRITE
from pipeline.errors import InputError
from pipeline.processes import cpus
from pipeline.sample import Chunk
from pipeline.stages.decode import chunk_table
from pipeline.stages.isolate import end_child
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


def trial(plan: EmbedPlan, rows: int, device: str) -> Trial:
    """Embeds about so many rows. The table is not touched.

    Raises:
        InputError: there is no row left to embed.
        SiglaneError: any error of a stage.
    """
    chunks = _sampled(plan.chunks, rows)
    with TemporaryDirectory(prefix="siglane-plan-") as folder:
        apart = replace(plan, uri=table.parse_writable(f"{folder}/t"), replacing=table.Replacing())
        try:
            stages = [(stage.name, _loaded(stage, device)) for stage in reading_with(embed_stages(apart), 1)]
            _run(stages, [replace(chunks[0], limit=FIRST_ROWS)])
            before = _bytes_in(Path(folder))
            found, rejected, seconds = _run(stages, chunks)
            written = _bytes_in(Path(folder)) - before
        finally:
            end_child()
            retries.take()
    if not found:
        raise InputError("the sampled chunks hold no row")
    return Trial(
        rows=found,
        rejected=rejected,
        device=device,
        cpus=cpus(),
        seconds={name: spent / found for name, spent in seconds.items()},
        bytes_per_row=written / found,
        source_bytes_per_row=_source_bytes(plan, chunks),
    )


def _sampled(chunks: Sequence[Chunk], rows: int) -> list[Chunk]:
    if not chunks:
        raise InputError("no row is left to embed; there is nothing to measure")
    count = min(CHUNKS, len(chunks))
    chosen = [chunks[place * len(chunks) // count] for place in range(count)]
    most = -(-rows // count)
    return [replace(chunk, limit=min(most, chunk.limit or most)) for chunk in chosen]


def _loaded(stage: TaskStage | ModelStage, device: str) -> Call:
    if isinstance(stage, TaskStage):
        return stage.call
    return Batches(stage.load(stage.settings, device), stage.batch_size, device)


def _run(stages: Sequence[tuple[str, Call]], chunks: Sequence[Chunk]) -> tuple[int, int, dict[str, float]]:
    """(rows, rejected ones, seconds by stage). Each stage runs to its end before the next one begins."""
    seconds = dict.fromkeys((READ, EMBED, WRITE), 0.0)
    rows = rejected = 0
    for chunk in chunks:
        tables = [chunk_table([chunk])]
        for name, call in stages:
            began = time.monotonic()
            tables = [result for given in tables for result in _results(call, given)]
            seconds[name] += time.monotonic() - began
            if name == EMBED:
                rows += sum(table.num_rows for table in tables)
                rejected += sum(_rejected(table) for table in tables)
    return rows, rejected, seconds


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
