"""Fills columns on a cluster: each fragment of a table is a task, and the driver commits the results."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from pickle import PicklingError

import ray

from pipeline.errors import SiglaneError
from pipeline.on_ray import failures
from pipeline.on_ray.failures import MAX_TRIES_AFTER_DEATH
from pipeline.table import Fill, Filled

MAX_IN_FLIGHT = 1_000
"""tasks given to Ray at once: more than a cluster has CPUs, but few enough to wait for"""


def run(fill: Fill, fragments: Sequence[int]) -> Generator[Filled | None, None, None]:
    """Fills fragments in tasks on the connected cluster. Yields the results as they finish, in any order.

    Raises:
        SiglaneError: any error of a task; what computes the columns cannot be sent to it, or loaded there.
    """
    task = ray.remote(num_cpus=1, max_retries=MAX_TRIES_AFTER_DEATH)(_fill)
    shared, waiting = _sent(fill), iter(fragments)
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


def _sent(fill: Fill) -> ray.ObjectRef[Fill]:
    try:
        return ray.put(fill)
    except (TypeError, PicklingError) as error:
        raise SiglaneError(
            f"what fills the columns cannot be sent to the cluster: {_reason(error)}; let it hold no lock, open file "
            "or the like, or run with --local"
        ) from error


def _reason(error: BaseException) -> BaseException:
    """The error below the one in which Ray lists all that it looked at."""
    return error.__cause__ or error.__context__ or error


def _fill(fill: Fill, number: int) -> Filled | None:
    return fill(number)
