"""Ways to iterate: produce the next item in advance, or group items up to a limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")

SECONDS_BETWEEN_HURRIES = 0.1


def ahead(items: Iterator[Item], hurry: Callable[[], None] = lambda: None) -> Iterator[Item]:
    """The same items, produced in another thread, one item in advance. An error there is raised in the item's place.

    It helps if one side spends most of its time in the operating system, or in libraries that release the GIL: reading,
    writing, hashing, Lance, Parquet. If the consumer ends early, by an error or a signal, it waits for the item that is
    being produced, and calls `hurry` again and again until it is.
    """
    none_left = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, none_left)
        try:
            while (item := coming.result()) is not none_left:
                coming = thread.submit(next, items, none_left)
                yield item  # type: ignore[misc]
        finally:
            while not coming.done():
                hurry()
                wait([coming], timeout=SECONDS_BETWEEN_HURRIES)


def timed(items: Iterator[Item]) -> Iterator[tuple[Item, float]]:
    """The same items, each with the seconds that it took to produce."""
    began = time.monotonic()
    for item in items:
        yield item, time.monotonic() - began
        began = time.monotonic()


def one(_item: object) -> int:
    """The weight of an item, to count items."""
    return 1


def grouped(
    items: Iterable[Item], *limits: tuple[int, Callable[[Item], int]], seconds: float = math.inf
) -> Iterator[list[Item]]:
    """Items in groups, in order. No group is empty.

    A group ends with the item that reaches one of the limits, so this item may exceed the limit.

    Args:
        limits: (most, weight): the group ends when the weights of its items sum to `most` or more.
        seconds: the group also ends after this time.
    """
    group: list[Item] = []
    weights = [0] * len(limits)
    started = time.monotonic()
    for item in items:
        group.append(item)
        weights = [total + weight(item) for total, (_, weight) in zip(weights, limits, strict=True)]
        is_full = any(total >= most for total, (most, _) in zip(weights, limits, strict=True))
        if is_full or time.monotonic() - started > seconds:
            yield group
            group, weights, started = [], [0] * len(limits), time.monotonic()
    if group:
        yield group
