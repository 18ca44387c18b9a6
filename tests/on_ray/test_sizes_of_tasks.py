"""How much one task does on a cluster: the driver's work goes by tasks, so they must be few on many GPUs. Which process
writes. And what an encoder's garbage collection has to look at."""

from __future__ import annotations

import gc
import os
import pickle
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pyarrow as pa
import pytest
import ray

from pipeline.embedding.flow import ModelStage, Stage, TaskStage
from pipeline.embedding.in_flight import InFlight
from pipeline.embedding.reports import EMBED, READ, WRITE
from pipeline.embedding.time_bounds import Watch
from pipeline.on_ray import cluster, embedding
from pipeline.on_ray.options import RayOptions
from pipeline.sample import Chunk, Source
from pipeline.stages import photos
from pipeline.stages.decode import chunks_in
from pipeline.stages.photos import Photo
from pipeline.stages.write import STAGED
from tests.conftest import RayCluster
from tests.ray_clusters import started

ROWS_PER_CHUNK, BATCH = 300, 64


def read(chunks: pa.Table) -> Iterator[pa.Table]:
    """Photos without pixels. The key of each is the task that read it."""
    for chunk in chunks_in(chunks):
        pair = {"source": chunk.sources[0].path, "key": ray.get_runtime_context().get_task_id(), "status": "success"}
        made = [Photo(None, [pair | {"source_row": row}]) for row in range(ROWS_PER_CHUNK)]
        yield photos.with_samples(photos.table_of(made, pa.schema([])), ROWS_PER_CHUNK, {})


def load(_settings: Any, _device: str) -> Callable[[pa.Table], pa.Table]:
    """Gives, for each row, its pair, how many rows are together in its call, which call of the encoder it is, how many
    objects of the encoder no garbage collection looks at, and the encoder's process."""
    calls = count()

    def call(table: pa.Table) -> pa.Table:
        turn = next(calls)
        time.sleep(0.01)  # a call at the same time would get the next turn now
        return pa.table(
            {
                "pair": pa.array([pair for pairs in table[photos.PAIRS].to_pylist() for pair in pairs]),
                "together": [table.num_rows] * table.num_rows,
                "turn": [turn] * table.num_rows,
                "left_out": [gc.get_freeze_count()] * table.num_rows,
                "encoder": [os.getpid()] * table.num_rows,
            }
        )

    return call


def write(rows: pa.Table) -> pa.Table:
    return pa.table({STAGED: [pickle.dumps([row | {"writer": os.getpid()} for row in rows.to_pylist()])]})


STAGES: list[Stage] = [
    TaskStage(READ, read),
    ModelStage(EMBED, load, None, BATCH),
    TaskStage(WRITE, write),
]


def run(address: str, chunks: int, num_gpus: int) -> list[list[dict[str, Any]]]:
    """The rows of each write."""
    given = [Chunk((Source(f"{number:03d}", "", "", 0),)) for number in range(chunks)]
    with cluster.connect_encoders(RayOptions(address=address, num_gpus=num_gpus)) as encoders:
        found: Any = list(embedding.run(STAGES, given, InFlight(), encoders, Watch()))
    rows = sorted((row["pair"]["source"], row["pair"]["source_row"]) for write in found for row in write)
    assert rows == [(chunk.sources[0].path, row) for chunk in given for row in range(ROWS_PER_CHUNK)]
    return found


@pytest.fixture(scope="module")
def two_gpus() -> Iterator[str]:
    """The address of a cluster. The GPUs are only declared."""
    with started("--num-cpus=2", "--num-gpus=2") as gpus:
        yield gpus.address


def test_gpus_get_several_batches_at_once_and_their_rows_are_written_together(two_gpus: str) -> None:
    writes = run(two_gpus, 20, num_gpus=2)
    most = max(row["together"] for write in writes for row in write)
    assert most == embedding.ROWS_PER_CALL_ON_A_GPU
    assert max(map(len, writes)) == 2 * embedding.ROWS_PER_CALL_ON_A_GPU
    assert all(row["writer"] != row["encoder"] for write in writes for row in write)
    # what is over in a call or a task, beside the full one, and what is left at the end
    assert len(writes) <= 2 * (20 * ROWS_PER_CHUNK // (2 * embedding.ROWS_PER_CALL_ON_A_GPU)) + 1


def test_many_gpus_write_whole_fragments(two_gpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are many where a fragment has the rows of four calls of each. Merging would cost the driver more."""
    whole = 2 * 4 * embedding.ROWS_PER_CALL_ON_A_GPU
    monkeypatch.setattr(embedding, "ROWS_PER_FRAGMENT", whole)
    writes = run(two_gpus, 60, num_gpus=2)
    assert sum(len(write) == whole for write in writes) == 60 * ROWS_PER_CHUNK // whole


def test_encoders_on_cpus_get_one_batch_and_write_it_themselves(ray_cluster: RayCluster) -> None:
    writes = run(ray_cluster.address, 4, num_gpus=0)
    assert max(row["together"] for write in writes for row in write) == BATCH
    # Those of a chunk are one block here, and become one fragment.
    assert [len(write) for write in writes] == [ROWS_PER_CHUNK] * 4
    assert all(row["writer"] == row["encoder"] for write in writes for row in write)
    for turns in [[row["turn"] for row in write] for write in writes]:
        assert max(turns) - min(turns) + 1 == len(set(turns)), "the batches of two blocks took turns"


def test_so_many_chunks_that_each_task_reads_several(ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MOST_READ_TASKS", 3)
    writes = run(ray_cluster.address, 10, num_gpus=0)
    assert len({row["pair"]["key"] for write in writes for row in write}) == 3


def test_garbage_collection_leaves_out_what_an_encoder_has_loaded(ray_cluster: RayCluster) -> None:
    """Ray asks for one often while an object store is nearly full; torch and Ray alone are 200,000 objects."""
    writes = run(ray_cluster.address, 1, num_gpus=0)
    assert min(row["left_out"] for write in writes for row in write) > 100_000
