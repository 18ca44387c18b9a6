"""A model stage gets a table in batches: on a CPU several at once, and no more rows than take about a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest
import torch

from pipeline.embedding import batches
from pipeline.embedding.batches import AT_ONCE_ON_A_CPU, FIRST_ROWS, LEAST_ROWS, Batches

SECONDS = 60
LARGE = 1_000


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def numbers(count: int) -> pa.Table:
    return pa.table({"n": pa.array(range(count), pa.int64())})


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("rows", [0, 1, 3, 4, 10, 1_000])
def test_batches_are_joined_in_their_order(rows: int, device: str, four_threads: None) -> None:
    sizes = list[int]()

    def call(batch: pa.Table) -> pa.Table:
        sizes.append(batch.num_rows)
        return batch

    computed = Batches(call, 3, device)
    for _ in range(2):
        assert pa.concat_tables(computed(numbers(rows))).equals(numbers(rows))
    assert sum(sizes) == 2 * rows
    assert max(sizes) <= 3


def test_on_a_cpu_batches_are_computed_at_once(four_threads: None) -> None:
    together = threading.Barrier(AT_ONCE_ON_A_CPU)
    threads = list[int]()

    def call(batch: pa.Table) -> pa.Table:
        together.wait(SECONDS)
        threads.append(torch.get_num_threads())
        return batch

    list(Batches(call, 1, "cpu")(numbers(2 * AT_ONCE_ON_A_CPU)))
    assert threads == [4] * 2 * AT_ONCE_ON_A_CPU  # the threads of torch are of both


@pytest.mark.parametrize(("device", "threads"), [("cuda", 4), ("cpu", 1)])
def test_a_gpu_and_a_single_thread_get_one_batch_after_the_other(device: str, threads: int, four_threads: None) -> None:
    torch.set_num_threads(threads)
    callers = set[int]()

    def call(batch: pa.Table) -> pa.Table:
        callers.add(threading.get_ident())
        return batch

    list(Batches(call, 1, device)(numbers(4)))
    assert callers == {threading.get_ident()}


class Clock:
    """Each row takes so many seconds, in one thread."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds, self.sizes = 0.0, seconds, list[int]()

    def monotonic(self) -> float:
        return self.now

    def __call__(self, batch: pa.Table) -> pa.Table:
        self.now += self.seconds * batch.num_rows
        self.sizes.append(batch.num_rows)
        return batch


@pytest.mark.parametrize(
    ("seconds", "then"), [(0.001, 256), (0.02, 50), (0.125, LEAST_ROWS), (60.0, LEAST_ROWS)], ids=str
)
def test_a_slow_model_gets_fewer_rows_at_a_time(monkeypatch: pytest.MonkeyPatch, seconds: float, then: int) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(batches, "time", clock := Clock(seconds))
    list(Batches(clock, 256, "cpu")(numbers(LARGE)))
    assert clock.sizes[0] == FIRST_ROWS
    assert abs(clock.sizes[2] - then) <= 1


@pytest.mark.parametrize("threads", [3, 48])
def test_each_thread_of_torch_gets_as_many_rows(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(batches, "AT_ONCE_ON_A_CPU", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(batches, "time", clock := Clock(0.02))
    list(Batches(clock, 256, "cpu")(numbers(LARGE)))
    assert {rows % threads for rows in clock.sizes[:3]} == {0}
    assert clock.sizes[2] == 48  # of the 50 that take a second


def test_the_batches_of_a_gpu_have_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "time", clock := Clock(1.0))
    list(Batches(clock, 256, "cuda")(numbers(512)))
    assert clock.sizes == [256, 256]


def test_what_is_finished_is_given_before_all_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be committed: a window of a large model takes half a minute."""
    torch.set_num_threads(1)
    monkeypatch.setattr(batches, "time", clock := Clock(0.125))
    given = Batches(clock, 64, "cpu")(numbers(256))
    first = next(given)
    assert (first.num_rows, clock.now) == (FIRST_ROWS, 2.0)
    assert pa.concat_tables([first, *given]).equals(numbers(256))


def test_an_error_of_one_batch_is_raised(four_threads: None) -> None:
    def call(batch: pa.Table) -> pa.Table:
        if batch["n"][0].as_py() == 2:
            raise ValueError("the third batch")
        return batch

    with pytest.raises(ValueError, match="the third batch"):
        list(Batches(call, 1, "cpu")(numbers(4)))
