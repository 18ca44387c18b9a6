"""Translates the flow's stages to Ray Data: CPU stages become tasks, the model a pool of actors that keep it loaded.

Encoders on CPUs write their rows themselves. Tasks for that would be further processes, to which Ray would bring each
vector (docs/contributing/scale.md has what that costs). Rows of GPUs are written by tasks, so that those of all
encoders can become whole fragments.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.util.annotations import RayDeprecationWarning

from pipeline import processes
from pipeline.embedding import flow
from pipeline.embedding.flow import Call, ModelStage, Stage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.time_bounds import Watch
from pipeline.on_ray import encoder_arguments, failures, in_flight_events, progress
from pipeline.on_ray.cluster import CPUS_PER_ENCODER, CPUS_PER_READER, CPUS_PER_WRITER, Encoders
from pipeline.on_ray.failures import MAX_TRIES_AFTER_DEATH
from pipeline.sample import Chunk
from pipeline.stages.decode import chunk_table
from pipeline.table import Staged
from pipeline.table.compact import ROWS_PER_FRAGMENT

# A task that fails a third time ends the run. Ray Data must not leave out a block, nor continue without an encoder that
# cannot load its model; both are its defaults (`max_errored_blocks` and `max_consecutive_actor_init_deaths` are 0).
# An encoder may die more often, because nodes come and go. Ray Data never replaces an actor that is dead for good, but
# waits for it (ray#62746).
MAX_DEATHS_OF_AN_ENCODER = 20
# Two, so that one decodes while the other one waits for a store or for the encoder's core.
THREADS_PER_READER = 2
# Two, so that one call prepares its batch while a GPU computes that of the other. On a CPU, one writes meanwhile.
CALLS_PER_ENCODER = 2
# Small blocks keep the encoders busy while a chunk is still being decoded, and limit the work that a kill can lose.
BLOCK_BYTES = 32 << 20
# A call of a GPU gets several blocks, so larger ones do: each costs the driver and Ray's nodes some time.
BLOCK_BYTES_ON_GPUS = 64 << 20
# The driver's CPU time goes by tasks, some milliseconds each, and not by rows (docs/scale.md). So a call of a GPU gets
# enough rows for several batches, and what each encoder gives by one call is written together. With 16 encoders or
# more, that is a whole fragment, which the driver need not merge, and to which each encoder gives 4 calls at most.
ROWS_PER_CALL_ON_A_GPU = 1_024
MOST_CALLS_PER_WRITE = 4
# A task that waits costs the driver 5 kB, and 1 ms before the run begins. With more chunks than that, a task reads
# several, one after the other.
MOST_READ_TASKS = 50_000


def run(
    stages: Sequence[Stage], chunks: Sequence[Chunk], in_flight: InFlight, encoders: Encoders, watch: Watch
) -> Generator[Staged, None, None]:
    """Runs the stages over the chunks on the connected cluster. Yields staged fragments as they finish, in any order.

    Raises:
        SiglaneError: any error of a stage.
    """
    context = DataContext.get_current()
    context.target_max_block_size = BLOCK_BYTES_ON_GPUS if encoders.num_gpus else BLOCK_BYTES
    context.raise_original_map_exception = True  # Ray's own wrapper can lack the original exception
    context.enable_progress_bars = False  # the command shows its own
    context.memory_usage_poll_interval_s = None  # nobody reads it, and each task would have a thread for it
    progress.report_to(watch, context)
    encoder_arguments.send_by_value()
    # `iter_batches` raises every failure. Ray Data's log would repeat it with all of Ray's stack frames.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # Of Arrow tables, Ray Data would have a task tell the number of rows, before anything else can start.
    rows = [row for chunk in chunks for row in chunk_table([chunk]).to_pylist()]
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_READ_TASKS))
    with in_flight_events.told_to(in_flight, len(chunks)) as tell:
        with warnings.catch_warnings():
            # Ray 2.60 deprecates the retry options in favour of others that it does not have yet.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            dataset = _through(dataset, flow.watched(flow.reading_with(stages, THREADS_PER_READER), tell), encoders)
        yield from _staged(dataset)


def _staged(dataset: Dataset) -> Iterator[Staged]:
    with failures.told():
        for table in dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            yield from flow.staged_in(table)


def _through(dataset: Dataset, stages: Sequence[Stage], encoders: Encoders) -> Dataset:
    reading, embedding, writing = stages
    assert isinstance(reading, TaskStage)
    assert isinstance(embedding, ModelStage)
    assert isinstance(writing, TaskStage)
    dataset = _in_tasks(dataset, reading, CPUS_PER_READER)
    if not encoders.num_gpus:
        return _in_encoders(dataset, embedding, encoders, writing.call)
    dataset = _in_encoders(dataset, embedding, encoders)
    return _in_tasks(dataset, writing, CPUS_PER_WRITER, _rows_of_a_write(encoders))


def _in_tasks(dataset: Dataset, stage: TaskStage, num_cpus: float, rows: int | None = None) -> Dataset:
    """Each call has so many rows; None: those of a block."""
    return dataset.map_batches(
        stage.call,
        batch_size=rows,
        batch_format="pyarrow",
        max_retries=MAX_TRIES_AFTER_DEATH,
        num_cpus=num_cpus,
    )


def _in_encoders(dataset: Dataset, stage: ModelStage, encoders: Encoders, write: Call | None = None) -> Dataset:
    return dataset.map_batches(
        _Encoder,
        fn_constructor_args=(stage, encoders.device, write),
        compute=ActorPoolStrategy(
            size=encoders.count,
            max_concurrent_calls_per_actor=CALLS_PER_ENCODER,
            enable_true_multi_threading=True,
        ),
        batch_size=_rows_of_a_call(stage, encoders),
        batch_format="pyarrow",
        num_cpus=encoders.num_cpus,
        num_gpus=encoders.num_gpus,
        max_restarts=MAX_DEATHS_OF_AN_ENCODER,
        max_task_retries=MAX_TRIES_AFTER_DEATH,
    )


def _rows_of_a_call(stage: ModelStage, encoders: Encoders) -> int | None:
    """On GPUs a multiple of the batch size; fewer rows are one call too, where an input ends. On CPUs those of a block,
    which are written together."""
    if not encoders.num_gpus:
        return None
    return stage.batch_size * max(1, ROWS_PER_CALL_ON_A_GPU // stage.batch_size)


def _rows_of_a_write(encoders: Encoders) -> int:
    rows = encoders.count * ROWS_PER_CALL_ON_A_GPU
    return ROWS_PER_FRAGMENT if rows * MOST_CALLS_PER_WRITE >= ROWS_PER_FRAGMENT else rows


class _Encoder:
    """A model stage as a class, which Ray Data needs for an actor; with `write`, the one that writes as well."""

    def __init__(self, stage: ModelStage, device: str, write: Call | None) -> None:
        processes.let_threads_sleep()
        import torch

        if device == "cpu":
            torch.set_num_threads(CPUS_PER_ENCODER)
        self._call, self._rows, self._write = stage.load(stage.settings, device), stage.batch_size, write
        self._turn = threading.Lock()
        processes.collect_only_what_comes_later()

    def __call__(self, table: pa.Table) -> Any:
        return self._call(table) if self._write is None else self._write(self._embedded(table))

    def _embedded(self, table: pa.Table) -> pa.Table:
        """Embeds one table after the other: if two took turns, both would be late. Each batch is a call of its own, as
        each call reports how far the run is."""
        starts = range(0, max(1, table.num_rows), self._rows)
        with self._turn:
            return pa.concat_tables([self._call(table.slice(start, self._rows)) for start in starts])
