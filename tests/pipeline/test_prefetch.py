"""Items that are made in a thread beside their use."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.prefetch import ahead


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
