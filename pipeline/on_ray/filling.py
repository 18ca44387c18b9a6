"""Fills columns on a cluster: each fragment of a table is a task, and the driver commits the results."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice

import ray

from pipeline.on_ray import failures
from pipeline.on_ray.failures import MAX_TRIES_AFTER_DEATH
from pipeline.table import Fill, Filled

MAX_IN_FLIGHT = 1_000
"""tasks given to Ray at once: more than a cluster has CPUs, but few enough to wait for"""


def run(fill: Fill, fragments: Sequence[int]) -> Generator[Filled | None, None, None]:
    """Fills fragments in tasks on the connected cluster. Yields the results as they finish, in any order.

    Raises:
        SiglaneError: any error of a task.
    """
    task = ray.remote(num_cpus=1, max_retries=MAX_TRIES_AFTER_DEATH)(_fill)
    shared, waiting = ray.put(fill), iter(fragments)
    running: list[ray.ObjectRef[Filled | None]] = []
    try:
        while True:
            running += [task.remote(shared, number) for number in islice(waiting, MAX_IN_FLIGHT - len(running))]
            if not running:
                return
            with failures.told():
                done, running = ray.wait(running)
                found = ray.get(done)
            yield from found
    finally:
        for reference in running:
            ray.cancel(reference)


def _fill(fill: Fill, number: int) -> Filled | None:
    return fill(number)
