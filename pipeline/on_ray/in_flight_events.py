"""How workers tell the driver which chunks they read: through an actor beside it, which the driver asks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.embedding.in_flight import Event, InFlight

log = logging.getLogger(__name__)

SECONDS_BETWEEN = 2.0
"""as often the driver asks"""
MAX_WAIT_SECONDS = 10.0


@contextmanager
def told_to(in_flight: InFlight) -> Iterator[Callable[[Event], None]]:
    """For the length of the block, what workers tell arrives at `in_flight`; gives what they tell it to."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    board = _Board.options(num_cpus=0, scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    over = threading.Event()
    relay = threading.Thread(target=_relay, args=(board, in_flight, over), name="in flight", daemon=True)
    relay.start()
    try:
        yield _Tell(board)
    finally:
        over.set()
        relay.join()
        if ray.is_initialized():
            ray.kill(board)


@ray.remote
class _Board:
    """Events that the driver has not asked for yet."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def tell(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events


@dataclass(frozen=True)
class _Tell:
    """Callable in a worker; waits for nobody."""

    board: Any

    def __call__(self, event: Event) -> None:
        self.board.tell.remote(event)


def _relay(board: Any, in_flight: InFlight, over: threading.Event) -> None:
    while not over.wait(SECONDS_BETWEEN):
        try:
            for event in ray.get(board.take.remote(), timeout=MAX_WAIT_SECONDS):
                in_flight.hear(event)
        except RayError as error:  # the run goes on without; only `siglane status` shows less
            log.warning("which chunks are in flight is no longer known: %s", str(error).strip().splitlines()[0])
            in_flight.hear_no_more()
            return
