"""The newest version of a table, for readers: each request gets a snapshot, and follows commits without reopening."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from pipeline import table
from pipeline.errors import OutdatedError, SiglaneError
from pipeline.table import Table, TableUri

log = logging.getLogger(__name__)

T = TypeVar("T")

SECONDS_BETWEEN_LOOKS = 0.5
"""for a newer version"""
SECONDS_KEPT = 60.0
"""how long facts about a table may be shown after rows have come in: they cost a scan"""
MOST_KEPT = 32
"""facts, of any kind"""


class UnavailableError(Exception):
    """The table cannot be read now. The message tells why."""


class Following:
    """The table at its newest version, or always at the one in its address. For several threads."""

    def __init__(self, uri: TableUri) -> None:
        """Opens the table. Raises TableError if there is no such table."""
        self.uri = uri
        self._lock = threading.Lock()
        self._snapshot = table.open_table(uri)
        self._looked = time.monotonic()
        self._kept: dict[Any, tuple[Table, float, Future[Any]]] = {}

    @property
    def version(self) -> int:
        """The version that was newest when the table was looked at last."""
        return self._snapshot.version

    def newest(self) -> Table:
        """The newest version, as of half a second ago or later.

        Raises:
            UnavailableError: the table can no longer be opened, or has become one of another model.
        """
        if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self._look()
        return self._snapshot

    def read(self, work: Callable[[Table], T]) -> T:
        """What `work` returns for the newest version; once more if other programs removed its files meanwhile."""
        try:
            return work(self.newest())
        except OutdatedError:
            self._look(afresh=True)
            return work(self._snapshot)

    def remembered(self, key: Any, work: Callable[[Table], T]) -> T:
        """As `read`, but computed at most once a version, and for a table that grows at most once a minute.

        Whoever asks while it is computed waits for the same answer.
        """
        snapshot, now = self.newest(), time.monotonic()
        with self._lock:
            known = self._kept.get(key)
            if known is not None and (known[0] is snapshot or now - known[1] < SECONDS_KEPT):
                future, is_ours = known[2], False
            else:
                future, is_ours = Future(), True
                while len(self._kept) >= MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = (snapshot, now, future)
        if is_ours:
            try:
                future.set_result(self.read(work))
            except Exception as error:  # noqa: BLE001 - it is raised to everyone who waits
                with self._lock:
                    self._kept.pop(key, None)
                future.set_exception(error)
        return cast(T, future.result())

    def _look(self, afresh: bool = False) -> None:
        with self._lock:
            try:
                found = table.newest(self._snapshot, afresh)
            except SiglaneError as error:
                raise UnavailableError(str(error)) from error
            if differences := self._snapshot.identity.differences(found.identity):
                raise UnavailableError(
                    f"table {self.uri}: it was made anew with another {differences[0][0]}; start `siglane serve` again"
                )
            self._looked = time.monotonic()
            self._snapshot = found
