"""Threads that have whole inputs to themselves. Each operation then has one thread, which waits for no other.

They are of this process, shared by all towers and callers, and kept until it ends.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

Inputs = TypeVar("Inputs")
Result = TypeVar("Result")


def side_by_side(encode: Callable[[Inputs], Result], parts: Iterable[Inputs], threads: int) -> list[Result]:
    """What `encode` gives for each part, in order; a thread takes the next part when it has finished one.

    For inference only. Raises what the first part that fails raises; parts that have not begun are then left out.
    """

    @torch.inference_mode()  # which is a thread's own
    def alone(part: Inputs) -> Result:
        return encode(part)

    return list(start_threads(threads).map(alone, parts))


def start_threads(count: int) -> ThreadPoolExecutor:
    """Starts the threads if they are not there yet; returns their pool.

    A thread that uses torch for the first time meanwhile keeps one thread for its operations, for good. So whoever will
    have several callers calls this before them.
    """
    with _lock:  # two callers at once would make two
        return _started(count)


@cache
def _started(count: int) -> ThreadPoolExecutor:
    """With all its threads, each of which has its operations alone."""
    pool, all_there = ThreadPoolExecutor(count, "siglip-cpu", _have_operations_alone), Barrier(count)
    list(pool.map(lambda _: all_there.wait(), range(count)))
    torch.set_num_threads(count)  # theirs is else what torch gives each thread that begins later
    return pool


def _have_operations_alone() -> None:
    torch.get_num_threads()  # reads the setting for the process, which would else overwrite the next one
    torch.set_num_threads(1)  # of this thread's operations


_lock = Lock()
