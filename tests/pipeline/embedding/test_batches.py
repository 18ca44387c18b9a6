"""A model stage gets a table in batches: on a CPU several at once, each with its share of torch's threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest
import torch

from pipeline.embedding.batches import AT_ONCE_ON_A_CPU, in_batches

SECONDS = 60


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def numbers(count: int) -> pa.Table:
    return pa.table({"n": pa.array(range(count), pa.int64())})


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("rows", [0, 1, 3, 4, 10])
def test_batches_are_joined_in_their_order(rows: int, device: str, four_threads: None) -> None:
    sizes = list[int]()

    def call(batch: pa.Table) -> pa.Table:
        sizes.append(batch.num_rows)
        return batch

    assert in_batches(call, 3, device)(numbers(rows)).equals(numbers(rows))
    assert sum(sizes) == rows
    assert max(sizes) <= 3


def test_on_a_cpu_batches_are_computed_at_once_and_share_the_threads(four_threads: None) -> None:
    together = threading.Barrier(AT_ONCE_ON_A_CPU)
    threads = list[int]()

    def call(batch: pa.Table) -> pa.Table:
        together.wait(SECONDS)
        threads.append(torch.get_num_threads())
        return batch

    in_batches(call, 1, "cpu")(numbers(2 * AT_ONCE_ON_A_CPU))
    assert threads == [4 // AT_ONCE_ON_A_CPU] * 2 * AT_ONCE_ON_A_CPU
    assert torch.get_num_threads() == 4


def test_a_single_batch_gets_all_threads(four_threads: None) -> None:
    threads = list[int]()

    def call(batch: pa.Table) -> pa.Table:
        threads.append(torch.get_num_threads())
        return batch

    in_batches(call, 2, "cpu")(numbers(2))
    assert threads == [4]


@pytest.mark.parametrize(("device", "threads"), [("cuda", 4), ("cpu", 1)])
def test_a_gpu_and_a_single_thread_get_one_batch_after_the_other(device: str, threads: int, four_threads: None) -> None:
    torch.set_num_threads(threads)
    callers = set[int]()

    def call(batch: pa.Table) -> pa.Table:
        callers.add(threading.get_ident())
        return batch

    in_batches(call, 1, device)(numbers(4))
    assert callers == {threading.get_ident()}


def test_an_error_of_one_batch_is_raised(four_threads: None) -> None:
    def call(batch: pa.Table) -> pa.Table:
        if batch["n"][0].as_py() == 2:
            raise ValueError("the third batch")
        return batch

    with pytest.raises(ValueError, match="the third batch"):
        in_batches(call, 1, "cpu")(numbers(4))
