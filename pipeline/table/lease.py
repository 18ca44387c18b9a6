"""Who is at work on a table: an entry in its configuration that the holder renews, and that others may take over.

A lease spares two runs from doing the same work; it is not what keeps rows single, which is each commit's own doing
(`pipeline.table.commit`). So it may be stolen from a run that only looks dead: that run's next commit brings in nothing
twice, and its next heartbeat tells it that it was replaced.

Every change of the entry is a commit from the state that it was read at, which Lance refuses if the entry has changed
since: of two that take a lease at once, one does. Whether a holder lives is judged by whether its entry changes while
one watches, so that clocks need not agree.
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
from uuid import uuid4

from pipeline.errors import SiglaneError, TableError
from pipeline.processes import Life, Process
from pipeline.storage.lance_store import store_failed
from pipeline.table.store import Table, open_if_exists, open_table
from pipeline.table.transactions import is_conflict
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 8.0
PATIENCE_SECONDS = 30.0
"""a holder whose entry does not change for so long has lost its lease"""

_PREFIX = "siglane:at-work:"


@dataclass(frozen=True)
class Holder:
    """A run that is at work, or was when it died."""

    work: str
    """what it does, e.g. the command and its input, without secrets"""
    host: str
    pid: int
    job: str | None
    """Ray's job"""
    since: str
    """UTC, ISO 8601"""
    place: str
    process_start: str
    """these two as in `pipeline.processes.Process`"""
    heartbeat: str
    """UTC, ISO 8601: when the entry was last renewed, by the holder's clock"""
    in_flight: Mapping[str, str] | None = None
    """`source`, `node` and `since` of the oldest chunk that it had in flight then"""
    id: str = field(default_factory=lambda: uuid4().hex)

    def __str__(self) -> str:
        job = f", Ray job {self.job}" if self.job else ""
        return f"{self.work} on {self.host} (process {self.pid}{job}), at work since {self.since}"

    def is_known_dead(self) -> bool:
        """Whether its process has ended, as far as can be told from here: elsewhere, nothing is known of it."""
        return self.life is Life.DEAD

    @property
    def life(self) -> Life:
        return Process(self.place, self.pid, self.process_start).life


class Lease:
    """Held from `take` to the end of the `with` block, renewed by a thread."""

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

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
        if self._mine is not None and self._replaced_by is None:
            try:
                self._write(self._mine, None)
            except SiglaneError as error:  # what was to be done is done; the next run finds that this one has ended
                log.warning("table %s: the entry of this run is left in it: %s", self._uri, error)

    def keep(self) -> None:
        """Takes the lease where it is not held yet, as soon as there is a table; else makes sure that it still is.

        Raises:
            TableError: another run holds it and is alive, or has taken it over.
        """
        if self._replaced_by is not None:
            raise TableError(
                f"table {self._uri}: taken over by {self._replaced_by}, since this run gave no sign of life for "
                f"{PATIENCE_SECONDS:.0f} s; nothing is lost and nothing is there twice; let the other run end"
            )
        if self._mine is None and self._take():
            self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
            self._renewing.start()

    def _take(self) -> bool:
        """Whether it is held now; not if there is no table yet."""
        if open_if_exists(self._uri) is None:
            return False
        while True:
            found = self._read()
            if found is not None and not found.is_known_dead():
                self._wait_for_silence(found)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            this = Process.this()
            mine = Holder(
                self._work, socket.gethostname(), this.pid, self._job, now, this.place, this.start, heartbeat=now
            )
            if self._write(found, mine):
                if found is not None:
                    log.warning("table %s: taken over from %s, which is dead or silent", self._uri, found)
                self._mine = mine
                return True

    def _wait_for_silence(self, holder: Holder) -> None:
        log.warning("table %s: %s; waiting to see whether it lives", self._uri, holder)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(1)
            found = self._read()
            if found is None:
                return
            if found != holder:
                raise TableError(f"table {self._uri}: {found}; wait until it is done, or stop it")

    def _renew(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            assert self._mine is not None
            now = datetime.now(UTC).isoformat(timespec="seconds")
            renewed = replace(self._mine, heartbeat=now, in_flight=self._in_flight())
            try:
                found = renewed if self._write(self._mine, renewed) else self._read()
            except SiglaneError as error:  # the store's fault; the next heartbeat may come through
                log.warning("table %s: no heartbeat: %s", self._uri, error)
                continue
            if found is None or found.id != self._mine.id:
                self._replaced_by = found or "another run, which has ended"
                return
            self._mine = found

    def _read(self) -> Holder | None:
        return read_holders(open_table(self._uri)).get(self._key)

    def _write(self, expected: Holder | None, entry: Holder | None) -> bool:
        """Changes the entry if it is as expected, or is our own, and still is when the change is committed."""
        table = open_table(self._uri)
        found = read_holders(table).get(self._key)
        # an answer that was lost leaves our own entry newer than we know
        is_ours = found is not None and self._mine is not None and found.id == self._mine.id
        if not is_ours and found != expected:
            return False
        try:
            if entry is None:
                table.lance.delete_config_keys([self._key])
            else:
                table.lance.update_config({self._key: to_json(entry)})
        except OSError as error:
            if is_conflict(error):
                return False
            raise store_failed(f"table {self._uri}", error) from error
        return True


@contextmanager
def at_work(uri: TableUri, work: str) -> Iterator[Lease]:
    """Holds the lease for the length of the block, from its start on.

    While it is held, files that the block stages count as in use, though no version of the table refers to them yet.

    Raises:
        TableError: as `Lease.keep`.
    """
    with Lease(uri, work) as lease:
        lease.keep()
        yield lease


def watch(uri: TableUri) -> dict[str, tuple[Holder, Life]]:
    """Who is at work, by the key of the entry, and whether they live: waits for a sign of life of those elsewhere."""
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
    """Takes the entries of dead holders out, unless they have changed since.

    Raises:
        StorageError: the store failed.
    """
    table = open_table(uri)
    found = read_holders(table)
    keys = [key for key, holder in dead.items() if found.get(key) == holder]
    try:
        if keys:
            table.lance.delete_config_keys(keys)
    except OSError as error:
        if not is_conflict(error):
            raise store_failed(f"table {uri}", error) from error
        log.info("table %s: another run has taken such an entry over meanwhile", uri)


def read_holders(table: Table) -> dict[str, Holder]:
    """Who is at work on a table, or was when it died, by the key of the entry."""
    return holders_in(table.lance.config())


def holders_in(config: Mapping[str, str | None]) -> dict[str, Holder]:
    """The holders among entries of a table's configuration, by the key of the entry."""
    return {key: _from_json(value) for key, value in config.items() if key.startswith(_PREFIX) and value}


def _from_json(text: str) -> Holder:
    known = {part.name for part in fields(Holder)}
    return Holder(**{name: value for name, value in json.loads(text).items() if name in known})


def to_json(holder: Holder) -> str:
    """The entry of a holder, as it stands in the table's configuration."""
    return json.dumps(asdict(holder))
