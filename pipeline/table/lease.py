"""Which runs are active on a table. Each run holds a lease: an entry in the table's configuration that it renews.

A lease keeps two runs from doing the same work. It does not prevent duplicate rows; each commit does that itself
(`pipeline.table.commit`). So another run may take over the lease of a run that only looks dead: the next commit of that
run adds no row twice, and its next heartbeat finds that it was replaced.

Every change of the entry is a commit from the version that the entry was read at. Lance refuses it if the entry has
changed since. So if two runs take a lease at once, only one gets it. A holder counts as alive if its entry changes
while we watch it, so clocks need not agree.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from pipeline import progress
from pipeline.errors import SiglaneError, TableError
from pipeline.processes import Life, Process
from pipeline.storage.lance_store import store_failed
from pipeline.table.store import Table, open_if_exists, open_table
from pipeline.table.transactions import commit_by_lance, is_conflict, is_refusal, is_removed_version
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 8.0
PATIENCE_SECONDS = 30.0
"""a holder loses its lease if its entry does not change for so long"""

BUILDING = "index"
"""the work of a run that builds indexes: merging fragments meanwhile would undo what it does"""

_PREFIX = "siglane:at-work:"


@dataclass(frozen=True)
class Holder:
    """A run that is active, or was active when it died."""

    work: str
    """what the run does, e.g. the command and its input, without secrets"""
    host: str
    pid: int
    job: str | None
    """id of the Ray job"""
    since: str
    """UTC, ISO 8601"""
    place: str
    process_start: str
    """`place` and `process_start`: as in `pipeline.processes.Process`"""
    heartbeat: str
    """UTC, ISO 8601: when the entry was last renewed, by the holder's clock"""
    in_flight: Mapping[str, str] | None = None
    """`source`, `node` and `since` of the oldest chunk that was in flight at that time"""
    progress: Mapping[str, Any] | None = None
    """how far the run was at that time: a record of `pipeline.progress.View`"""
    id: str = field(default_factory=lambda: uuid4().hex)

    def __str__(self) -> str:
        job = f", Ray job {self.job}" if self.job else ""
        return f"{self.work} on {self.host} (process {self.pid}{job}), at work since {self.since}"

    def is_known_dead(self) -> bool:
        """Whether its process is known to have ended. For a process on another machine, this is never known."""
        return self.life is Life.DEAD

    @property
    def life(self) -> Life:
        return Process(self.place, self.pid, self.process_start).life


class Lease:
    """Held from the first `keep` to the end of the `with` block. A thread renews it."""

    def __init__(
        self,
        uri: TableUri,
        work: str,
        job: str | None = None,
        in_flight: Callable[[], Mapping[str, str] | None] = lambda: None,
    ) -> None:
        self._uri = uri
        self._key = _PREFIX + blake2b(work.encode(), digest_size=8).hexdigest()
        self._work, self._job, self._in_flight = work, job, in_flight
        self._mine: Holder | None = None
        self._replaced_by: Holder | str | None = None
        self._over = threading.Event()
        self._renewing: threading.Thread | None = None

    @property
    def key(self) -> str:
        """The key of its entry in the table's configuration."""
        return self._key

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
        if self._mine is not None and self._replaced_by is None:
            try:
                self._write(self._mine, None)
            except SiglaneError as error:  # the work is done, and the next run will see that this run has ended
                log.warning("table %s: the lease of this run could not be removed: %s", self._uri, error)

    def keep(self) -> None:
        """Takes the lease if this run does not hold it and the table exists. Otherwise checks that this run holds it.

        Raises:
            TableError: another active run holds the lease, or has taken it over.
        """
        if self._replaced_by is not None:
            raise TableError(
                f"table {self._uri}: taken over by {self._replaced_by}, because this run sent no heartbeat for "
                f"{PATIENCE_SECONDS:.0f} s; no row is lost or duplicated; let the other run finish"
            )
        if self._mine is None and self._take():
            self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
            self._renewing.start()

    def _take(self) -> bool:
        """Whether this run now holds the lease. False if there is no table yet."""
        if open_if_exists(self._uri) is None:
            return False
        while True:
            found = self._read()
            if found is not None and not found.is_known_dead():
                self._wait_for_silence(found)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            this = Process.this()
            host, record = socket.gethostname(), progress.current.look().as_record()
            mine = Holder(
                *(self._work, host, this.pid, self._job, now, this.place, this.start), heartbeat=now, progress=record
            )
            if self._write(found, mine):
                if found is not None:
                    log.warning("table %s: taken over from %s, which is dead or sends no heartbeat", self._uri, found)
                self._mine = mine
                return True

    def _wait_for_silence(self, holder: Holder) -> None:
        log.warning("table %s: %s; waiting for its heartbeat", self._uri, holder)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(1)
            found = self._read()
            if found is None:
                return
            if found != holder:
                raise TableError(f"table {self._uri}: {found}; wait until it finishes, or stop it")

    def _renew(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            assert self._mine is not None
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = progress.current.look().as_record()
            renewed = replace(self._mine, heartbeat=now, in_flight=self._in_flight(), progress=record)
            try:
                found = renewed if self._write(self._mine, renewed) else self._read()
            except SiglaneError as error:  # the store failed; the next heartbeat may succeed
                log.warning("table %s: no heartbeat: %s", self._uri, error)
                continue
            if found is None or found.id != self._mine.id:
                self._replaced_by = found or "another run, which has ended"
                return
            self._mine = found

    def _read(self) -> Holder | None:
        return read_holders(open_table(self._uri)).get(self._key)

    def _write(self, expected: Holder | None, entry: Holder | None) -> bool:
        """Changes the entry if it equals `expected` or is our own, and no other run changes it before the commit."""
        table = open_table(self._uri)
        found = read_holders(table).get(self._key)
        # after a lost answer, our own entry in the table may be newer than the one we know
        is_ours = found is not None and self._mine is not None and found.id == self._mine.id
        if not is_ours and found != expected:
            return False

        def write() -> None:
            if entry is None:
                table.lance.delete_config_keys([self._key])
            else:
                table.lance.update_config({self._key: to_json(entry)})

        try:
            commit_by_lance(table, write)
        except OSError as error:
            if is_removed_version(error):  # whether the entry has changed since, only a newer version can say
                return self._write(expected, entry)
            if is_conflict(error):
                return False
            raise store_failed(f"table {self._uri}", error) from error
        return True


@contextmanager
def at_work(uri: TableUri, work: str) -> Iterator[Lease]:
    """Holds the lease during the block.

    Meanwhile, files that the block stages count as in use, although no version of the table refers to them yet.

    Raises:
        TableError: as `Lease.keep`.
    """
    with Lease(uri, work) as lease:
        lease.keep()
        yield lease


def watch(uri: TableUri) -> dict[str, tuple[Holder, Life]]:
    """Each holder and whether it is alive, by the key of its entry. Waits for a heartbeat of runs on other machines."""
    first = read_holders(open_table(uri))
    lives = {key: (holder, holder.life) for key, holder in first.items()}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(life is Life.UNKNOWN for _, life in lives.values()) and time.monotonic() < deadline:
        time.sleep(1)
        now = read_holders(open_table(uri))
        lives = {
            key: (holder, Life.ALIVE if life is Life.UNKNOWN and now[key] != holder else life)
            for key, (holder, life) in lives.items()
            if key in now
        }
    return lives


def forget(uri: TableUri, dead: Mapping[str, Holder]) -> None:
    """Removes the entries of dead holders, unless they have changed since.

    Raises:
        StorageError: the store failed.
    """
    table = open_table(uri)
    found = read_holders(table)
    keys = [key for key, holder in dead.items() if found.get(key) == holder]
    try:
        if keys:
            commit_by_lance(table, lambda: table.lance.delete_config_keys(keys))
    except OSError as error:
        if not is_refusal(error):
            raise store_failed(f"table {uri}", error) from error
        log.info("table %s: another run has taken over such an entry meanwhile", uri)


def read_holders(table: Table) -> dict[str, Holder]:
    """The holders of a table's leases, by the key of the entry. Some may be dead."""
    return holders_in(table.lance.config())


def holders_in(config: Mapping[str, str | None]) -> dict[str, Holder]:
    """The holders in a table's configuration, by the key of the entry."""
    return {key: _from_json(value) for key, value in config.items() if key.startswith(_PREFIX) and value}


def _from_json(text: str) -> Holder:
    known = {part.name for part in fields(Holder)}
    return Holder(**{name: value for name, value in json.loads(text).items() if name in known})


def to_json(holder: Holder) -> str:
    """The entry of a holder, as stored in the table's configuration."""
    return json.dumps(asdict(holder))
