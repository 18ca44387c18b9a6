"""Batches of what waits: no item waits for others, none is lost, and a bad one harms no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import wait

import pytest

from pipeline.serving.batching import Batcher, OverloadedError


class Held:
    """Work that begins when it is let go; records its batches."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        assert self.go.wait(60)
        if 13 in items:
            raise ValueError("thirteen")
        return [item * 2 for item in items]


@pytest.fixture
def held() -> Held:
    return Held()


def test_what_waits_meanwhile_becomes_one_batch(held: Held) -> None:
    sizes: list[int] = []
    batcher = Batcher("test", held, most=4, waiting=100, observe=sizes.append)
    first = batcher.submit(0)
    assert held.begun.wait(60)
    others = [batcher.submit(item) for item in range(1, 10)]
    held.go.set()
    assert [future.result(60) for future in [first, *others]] == [item * 2 for item in range(10)]
    assert held.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert sizes == [1, 4, 4, 1]
    batcher.close()


def test_an_item_that_fails_fails_alone(held: Held) -> None:
    batcher = Batcher("test", held, most=8, waiting=100)
    batcher.submit(0)
    assert held.begun.wait(60)
    futures = [batcher.submit(item) for item in (1, 13, 2)]
    held.go.set()
    wait(futures, 60)
    assert (futures[0].result(), futures[2].result()) == (2, 4)
    assert str(futures[1].exception()) == "thirteen"
    batcher.close()


def test_more_than_may_wait_is_refused(held: Held) -> None:
    batcher = Batcher("test", held, most=8, waiting=2)
    batcher.submit(0)
    assert held.begun.wait(60)
    waiting = [batcher.submit(item) for item in (1, 2)]
    with pytest.raises(OverloadedError):
        batcher.submit(3)
    held.go.set()
    wait(waiting, 60)
    assert batcher.submit(4).result(60) == 8
    batcher.close()


def test_what_nobody_waits_for_any_more_is_left_out(held: Held) -> None:
    batcher = Batcher("test", held, most=2, waiting=100)
    batcher.submit(0)
    assert held.begun.wait(60)
    given_up = [batcher.submit(item) for item in (1, 2)]
    kept = batcher.submit(3)
    assert all(future.cancel() for future in given_up)
    held.go.set()
    assert kept.result(60) == 6
    assert held.batches == [[0], [3]]
    batcher.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_closing_answers_what_waits(held: Held, threads: int) -> None:
    batcher = Batcher("test", held, most=2, waiting=100, threads=threads)
    futures = [batcher.submit(item) for item in range(12)]
    assert held.begun.wait(60)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    held.go.set()
    closing.join(60)
    assert not closing.is_alive()
    assert [future.result(0) for future in futures] == [item * 2 for item in range(12)]


def test_an_error_of_the_work_does_not_end_the_thread() -> None:
    def fails(items: Sequence[Callable[[], int]]) -> list[int]:
        return [item() for item in items]

    batcher = Batcher("test", fails, most=1, waiting=10)
    assert isinstance(batcher.submit(lambda: 1 // 0).exception(60), ZeroDivisionError)
    assert batcher.submit(lambda: 7).result(60) == 7
    batcher.close()
