"""Does the work of many callers together: whatever waits when a thread is free becomes one batch.

Nothing waits for a batch to fill. While nobody else asks, a request is alone in its batch.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class OverloadedError(Exception):
    """So much is waiting that a further request would only wait too. It can be sent again later."""


class Batcher(Generic[Item, Answer]):
    """Calls `work` with batches of items, in threads of its own."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Item]], Sequence[Answer]],
        most: int,
        waiting: int,
        threads: int = 1,
        observe: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """Starts the threads.

        Args:
            work: answers a batch, one answer an item. If it raises, each item of the batch is tried alone.
            most: items in a batch.
            waiting: items that may wait; a further one is refused.
            observe: called with the size of each batch.
        """
        self._work, self._most, self._observe = work, most, observe
        self._waiting: queue.Queue[tuple[Item, Future[Answer]] | None] = queue.Queue(waiting)
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> Future[Answer]:
        """Raises OverloadedError if too many items wait."""
        future: Future[Answer] = Future()
        try:
            self._waiting.put_nowait((item, future))
        except queue.Full:
            raise OverloadedError from None
        return future

    def close(self) -> None:
        """Answers what waits, then ends the threads."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            batch, is_last = [entry], False
            while len(batch) < self._most and not self._waiting.empty():
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:  # another thread was faster
                    break
                if more is None:
                    is_last = True
                    break
                batch.append(more)
            wanted = [entry for entry in batch if entry[1].set_running_or_notify_cancel()]  # who asked may have gone
            if wanted:
                self._observe(len(wanted))
                self._answer(wanted)
            if is_last:
                return

    def _answer(self, batch: Sequence[tuple[Item, Future[Answer]]]) -> None:
        try:
            answers = self._work([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for alone in batch:
                self._answer([alone])
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)
