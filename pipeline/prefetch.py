"""Two steps of one process side by side: the next item is made while the last one is used.

Of use where one of both is mostly in the operating system or in libraries that let other threads run, as reading,
writing, hashing, Lance and Parquet are.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; each is made in a thread of its own, one ahead. What the making raises comes in its place.

    What ends the use, an error or a signal, waits for the item that is being made.
    """
    none_left = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, none_left)
        while (item := coming.result()) is not none_left:
            coming = thread.submit(next, items, none_left)
            yield item  # type: ignore[misc]
