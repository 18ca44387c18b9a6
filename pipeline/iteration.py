"""Ways to go through items: the next one made in advance, or several at a time up to a bound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; each is made in a thread of its own, one in advance. An error raised there comes in its place.

    It helps where one of both sides is mostly in the operating system or in libraries that let other threads run, as
    reading, writing, hashing, Lance and Parquet are. Where the use ends early, by an error or a signal, the item that
    is being made is waited for.
    """
    none_left = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, none_left)
        while (item := coming.result()) is not none_left:
            coming = thread.submit(next, items, none_left)
            yield item  # type: ignore[misc]


def one(_item: object) -> int:
    """The weight of an item where items are counted."""
    return 1


def grouped(
    items: Iterable[Item], *limits: tuple[int, Callable[[Item], int]], seconds: float = math.inf
) -> Iterator[list[Item]]:
    """Items in groups, in their order; none is empty.

    A group ends with the item that brings it to one of the limits, so the last item may take it beyond.

    Args:
        limits: (most, weight): how much the items of a group weigh together, at least, when it ends.
        seconds: a group ends too when it has been gathered for longer than that.
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
