"""Threads that have whole inputs to themselves. Each operation then has one thread, which waits for no other.

They are of this process, shared by all towers and callers, and kept until it ends.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

Inputs = TypeVar("Inputs")


def side_by_side(encode: Callable[[Inputs], Tensor], parts: Iterable[Inputs], threads: int) -> list[Tensor]:
    """What `encode` gives for each part, in order; a thread takes the next part when it has finished one.

    For inference only. Raises what the first part that fails raises; parts that have not begun are then left out.
    """

    @torch.inference_mode()  # which is a thread's own
    def alone(part: Inputs) -> Tensor:
        return encode(part)

    return list(_threads(threads).map(alone, parts))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "siglip-cpu", _have_operations_alone)


def _have_operations_alone() -> None:
    torch.get_num_threads()  # reads the setting for the process, which would else overwrite the next one
    torch.set_num_threads(1)  # of this thread's operations
