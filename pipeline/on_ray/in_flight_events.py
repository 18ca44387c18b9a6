"""Sends workers' reports about chunks to the driver, through an actor on the driver's node that the driver polls."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.embedding.in_flight import Event, InFlight

log = logging.getLogger(__name__)

SECONDS_BETWEEN = 2.0
"""the driver's polling interval"""
SECONDS_BETWEEN_AT_THE_END = 0.1
MAX_WAIT_SECONDS = 10.0


@contextmanager
def told_to(in_flight: InFlight, chunks: int) -> Iterator[Callable[[Event], None]]:
    """Passes the workers' reports to `in_flight` until the block ends. Gives the function that workers call to report.

    The block can end before the last report has arrived. If it ends without an error, this waits until all `chunks` are
    reported as read, for at most `MAX_WAIT_SECONDS`.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    name = f"in flight {uuid4().hex}"
    board = _Board.options(name=name, num_cpus=0, scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    over = threading.Event()
    relay = _Relay(board, in_flight, chunks, over)
    relay.start()
    try:
        yield _Tell(name)
        relay.wants_the_rest = True
    finally:
        over.set()
        relay.join()
        if ray.is_initialized():
            ray.kill(board)


@ray.remote
class _Board:
    """The events that the driver has not fetched yet."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def tell(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events


@dataclass(frozen=True)
class _Tell:
    """Callable in a worker; returns without waiting.

    It has the name of the board, because Ray takes a handle for an argument that can be lost (`encoder_arguments`).
    """

    board: str

    def __call__(self, event: Event) -> None:
        if board := _find(self.board):
            board.tell.remote(event)


@cache
def _find(board: str) -> Any:
    """The actor of this name; None where it has died, which the driver says."""
    try:
        return ray.get_actor(board)
    except ValueError:
        return None


class _Relay(threading.Thread):
    """Fetches events from the board and passes them on."""

    def __init__(self, board: Any, in_flight: InFlight, chunks: int, over: threading.Event) -> None:
        super().__init__(name="in flight", daemon=True)
        self._board, self._in_flight, self._chunks, self._over = board, in_flight, chunks, over
        self.wants_the_rest = False
        self._taking: Any = None
        """the board's answer that has not arrived yet: on a busy machine it is late, and must not be lost"""

    def run(self) -> None:
        try:
            while not self._over.wait(SECONDS_BETWEEN):
                self._hand_on()
            deadline = time.monotonic() + MAX_WAIT_SECONDS
            while self.wants_the_rest and self._in_flight.ended(self._chunks) is None and time.monotonic() < deadline:
                self._hand_on()
                time.sleep(SECONDS_BETWEEN_AT_THE_END)
        except RayError as error:
            # The run continues. `siglane status` shows less, and the counts are not compared at the end.
            log.warning("reports about chunks in flight stopped: %s", str(error).strip().splitlines()[0])
            self._in_flight.hear_no_more()

    def _hand_on(self) -> None:
        self._taking = self._taking or self._board.take.remote()
        arrived, _ = ray.wait([self._taking], timeout=MAX_WAIT_SECONDS)
        if arrived:
            taken, self._taking = self._taking, None
            for event in ray.get(taken):
                self._in_flight.hear(event)
