"""Calls a model stage with the batches of a table, on a CPU with several at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

Call = Callable[[pa.Table], pa.Table]

AT_ONCE_ON_A_CPU = 2
"""While Python works on one batch, the threads of torch compute the other. Without that, threads that have whole inputs
to themselves lose a seventh of the rows of siglip-pico, where decoding takes the cores too."""
SECONDS_OF_A_CALL, LEAST_ROWS, FIRST_ROWS = 1.0, 8, 16
"""On a CPU, a large model gets fewer rows at a time than the batch size allows: about as many as take so long, which
Ctrl-C has to wait for, but no fewer than keep its threads busy, and as many for each thread. The first call has so
many, or one for each thread."""
SECONDS_TOGETHER = 2.0
"""Results of about this time are given together: more would be lost if the process dies, fewer are a file each."""


class Batches:
    """Calls `call` with `size` rows at a time at most, and joins its results in their order.

    Callable on a table: gives one table, or several where the rows take long.
    """

    def __init__(self, call: Call, size: int, device: str) -> None:
        import torch

        self._call, self._size = call, size
        self._of_torch = torch.get_num_threads() if device == "cpu" else 1
        self._at_once = min(AT_ONCE_ON_A_CPU, self._of_torch)
        self._threads = ThreadPoolExecutor(self._at_once) if self._at_once > 1 else None
        self._adapts = device == "cpu"
        self._rows = self._alike(FIRST_ROWS) if self._adapts else size

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        joined, since = list[pa.Table](), time.monotonic()
        for result in self._results(table):
            joined.append(result)
            if time.monotonic() - since >= SECONDS_TOGETHER:
                yield pa.concat_tables(joined)
                joined, since = [], time.monotonic()
        if joined:
            yield pa.concat_tables(joined)

    def _results(self, table: pa.Table) -> Iterator[pa.Table]:
        running, start = deque[Future[pa.Table]](), 0
        try:
            while start < max(1, table.num_rows) or running:
                while start < max(1, table.num_rows) and len(running) < self._at_once:
                    rows = self._rows  # which a thread may change now
                    running.append(self._started(table.slice(start, rows)))
                    start += rows
                yield running.popleft().result()
        finally:
            for call in running:
                call.cancel()

    def _started(self, batch: pa.Table) -> Future[pa.Table]:
        if self._threads is not None:
            return self._threads.submit(self._timed, batch)
        done = Future[pa.Table]()
        done.set_result(self._timed(batch))
        return done

    def _timed(self, batch: pa.Table) -> pa.Table:
        began = time.monotonic()
        result = self._call(batch)
        if self._adapts and batch.num_rows:
            rows = int(batch.num_rows * SECONDS_OF_A_CALL / max(time.monotonic() - began, 1e-3))
            self._rows = self._alike(max(LEAST_ROWS, rows))
        return result

    def _alike(self, rows: int) -> int:
        """As many for each thread of torch: about so many rows, but no more than the batch size."""
        return min(self._size, max(1, rows // self._of_torch) * self._of_torch)
