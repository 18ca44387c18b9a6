"""Items that are made in a thread beside their use, and items in groups."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.iteration import ahead, grouped, one


def counted(made: list[int], fails_at: int = -1) -> Iterator[int]:
    for number in range(4):
        if number == fails_at:
            raise ValueError("cannot be made")
        made.append(number)
        yield number


def test_the_next_item_is_made_while_one_is_used() -> None:
    second_is_made = threading.Event()

    def two() -> Iterator[int]:
        yield 1
        second_is_made.set()
        yield 2

    items = ahead(two())
    assert next(items) == 1
    assert second_is_made.wait(timeout=60)
    assert list(items) == [2]


def test_what_fails_in_the_making_comes_in_its_place() -> None:
    used, threads = list[int](), threading.active_count()
    with pytest.raises(ValueError, match="cannot be made"):
        used.extend(ahead(counted([], fails_at=2)))
    assert threading.active_count() == threads


def test_nothing_more_is_made_once_nothing_is_used() -> None:
    made, threads = list[int](), threading.active_count()
    items = ahead(counted(made))
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert made in ([0], [0, 1])
    assert threading.active_count() == threads


def test_a_group_ends_with_the_item_that_brings_it_to_a_limit() -> None:
    by_count_or_sum = ((3, one), (100, int))
    sizes = [10, 10, 10, 10, 200, 60, 60, 0, 1]
    assert list(grouped(sizes, *by_count_or_sum)) == [[10, 10, 10], [10, 200], [60, 60], [0, 1]]
    assert list(grouped([], *by_count_or_sum)) == []


def test_a_group_ends_when_it_has_been_gathered_for_long_enough() -> None:
    assert list(grouped([1, 2, 3], (100, one), seconds=-1)) == [[1], [2], [3]]
    assert list(grouped([1, 2, 3], (100, one), seconds=1000)) == [[1, 2, 3]]


def test_a_group_is_given_before_more_is_read() -> None:
    made = list[int]()
    assert next(grouped(counted(made), (2, one))) == [0, 1]
    assert made == [0, 1]


def test_a_consumer_that_ends_early_hurries_the_item_that_is_being_produced() -> None:
    released = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert released.wait(30)
        yield 2

    coming = ahead(items(), released.set)
    assert next(coming) == 1
    coming.close()  # type: ignore[attr-defined]
    assert released.is_set()
