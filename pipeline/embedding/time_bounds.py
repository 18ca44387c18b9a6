"""Ends a run after a time limit, or when nothing finishes any more, even while it waits inside a library.

A thread checks the clock. When a limit is reached, it sends a signal to the main thread. The signal's handler raises an
exception, as Ctrl-C would, but only while the run waits for the next item, so that no commit is interrupted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Bound = Literal["max-hours", "stall-timeout"]

TICK_SECONDS = 0.5
SECONDS_TO_LET_GO = 30.0
"""after this time the signal is sent again, if the wait has not ended"""


class _ReachedError(BaseException):
    """Raised by the signal's handler. It is not an `Exception`, so that no library catches it."""


class Watch:
    """The time limits of one run, which starts now. They apply within its `with` block, in the main thread."""

    def __init__(self, max_seconds: float | None = None, stall_seconds: float | None = None) -> None:
        self.reached: Bound | None = None
        """the limit that ended the items early"""
        self._due: Bound | None = None
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self._stall_seconds = stall_seconds
        self._quiet_since: float | None = None
        """None while the run has no resources, so that waiting is not a stall"""
        self._is_waiting = False
        """whether the run waits for the next item, and is not processing the last one"""
        self._left = threading.Event()
        self._handler_before: Any = None
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def progress(self) -> None:
        """Reports that something has finished, or begins."""
        self._quiet_since = time.monotonic()

    def without_resources(self) -> None:
        """Reports that the run waits for machines. This is not a stall, however long it takes."""
        self._quiet_since = None

    def items(self, items: Iterator[T]) -> Iterator[T]:
        """The items up to the end, or until a limit is reached; `reached` then names it."""
        while True:
            self.progress()
            try:
                item = self._next(items)
            except StopIteration:
                return
            except _ReachedError:
                self.reached = self._due
                return
            yield item

    def __enter__(self) -> Watch:
        if self._deadline is not None or self._stall_seconds is not None:
            self._handler_before = signal.signal(signal.SIGUSR1, self._on_signal)
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._left.set()
        if self._handler_before is not None:
            self._thread.join()  # a signal after the handler is removed would end the process
            signal.signal(signal.SIGUSR1, self._handler_before)

    def _next(self, items: Iterator[T]) -> T:
        self._is_waiting = True
        try:
            self._check()  # the signal may have arrived between two items
            if self._due:
                raise _ReachedError
            return next(items)
        finally:
            self._is_waiting = False

    def _look(self) -> None:
        while not self._left.wait(TICK_SECONDS):
            self._check()
            if self._due:
                break
        while not self._left.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            self._left.wait(SECONDS_TO_LET_GO)

    def _check(self) -> None:
        now, quiet_since = time.monotonic(), self._quiet_since
        quiet_for = 0.0 if quiet_since is None or not self._is_waiting else now - quiet_since
        if self._deadline is not None and now >= self._deadline:
            self._due = "max-hours"
        elif self._stall_seconds is not None and quiet_for >= self._stall_seconds:
            self._due = "stall-timeout"

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        if self._is_waiting:
            raise _ReachedError
