"""The scheduling points: every call of the table's code that reads or writes a version, a file or a clock.

They are put in here and nowhere else, by patching what `pipeline.table` calls. A call that another thread of a schedule
could notice, or be noticed by, becomes a step of its own; outside of a schedule nothing changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any

import lance
import pytest
from lance.fragment import LanceFragment

from pipeline.processes import Life
from pipeline.storage import retries
from pipeline.table import (
    clean,
    column_file,
    columns,
    commit,
    compact,
    files,
    lease,
    presence,
    repair,
    store_clock,
    transactions,
)
from tests.interleavings.scheduler import (
    LOST_ANSWER,
    NOT_SENT,
    Call,
    Killed,
    Kind,
    LeaseWrite,
    Thread,
    acting,
    current,
)

Kinds = Kind | Callable[..., Kind]


def at_point(kind: Kind, label: str, call: Callable[[], Any]) -> Any:
    """Makes a call when it is this thread's turn; at once, where there is no schedule."""
    thread = current()
    if thread is None:
        return call()
    thread.wait_for_turn(Call(kind, label))
    how, thread.how = thread.how, ""
    if how == "-":
        raise OSError(NOT_SENT)
    thread.is_inside = True
    try:
        result = call()
    finally:
        thread.is_inside = False
    if how == "?":
        raise OSError(LOST_ANSWER)
    if how == "^":
        raise KeyboardInterrupt
    return result


def _patch(patch: pytest.MonkeyPatch, owner: Any, name: str, kind: Kinds) -> None:
    original = getattr(owner, name)
    label = name if isinstance(owner, type(sys)) else f"{getattr(owner, '__name__', '')}.{name}"

    def call(*args: Any, **kwargs: Any) -> Any:
        known = kind if isinstance(kind, Kind) else kind(*args, **kwargs)
        return at_point(known, label, lambda: original(*args, **kwargs))

    static = isinstance(owner, type) and isinstance(vars(owner).get(name), staticmethod)
    patch.setattr(owner, name, staticmethod(call) if static else call)


def _cleanup(_dataset: Any, older_than: timedelta | None = None, versions: Any = None, **_: Any) -> Kind:
    """A schedule's versions are minutes old at most: siglane's own cleanups leave them, unless they name them."""
    if versions is not None:
        return Kind.REMOVE
    return Kind.REMOVE if older_than is not None and older_than < timedelta(hours=1) else Kind.NOTHING


@contextmanager
def points() -> Iterator[None]:
    """Within this block the code of the table has its scheduling points."""
    dataset, fragment = lance.LanceDataset, LanceFragment
    lance_dataset = sys.modules["lance.dataset"]
    with pytest.MonkeyPatch.context() as patch:
        _patch(patch, lance, "dataset", Kind.LOOK)
        # With the look at the versions before it: Lance's own is a few requests later, and no client can come closer.
        _patch(patch, transactions, "send", Kind.COMMIT)
        for room in (compact, columns, lease, repair):
            _patch(patch, room, "commit_by_lance", Kind.COMMIT)
        for name in ("update_field_metadata", "create_scalar_index", "drop_index", "delete"):
            _patch(patch, dataset, name, Kind.COMMIT)
        for name in ("read_transaction", "get_transactions", "count_rows", "take", "checkout_version"):
            _patch(patch, dataset, name, Kind.READ)
        for name in ("tracked_files", "all_files", "version_refs"):
            _patch(patch, dataset, name, Kind.LIST)
        _patch(patch, dataset, "cleanup_old_versions", _cleanup)
        for name in ("optimize_indices", "compact_files"):
            _patch(patch, lance_dataset.DatasetOptimizer, name, Kind.COMMIT)
        for name in ("list", "create", "delete", "replace_metadata"):
            _patch(patch, lance_dataset.Tags, name, Kind.LIST if name == "list" else Kind.COMMIT)
        for name in ("to_batches", "to_table"):
            _patch(patch, lance_dataset.LanceScanner, name, Kind.READ)
            _patch(patch, fragment, name, Kind.READ)
        _patch(patch, fragment, "count_rows", Kind.READ)
        for name in ("delete_rows", "update_columns"):
            _patch(patch, fragment, name, Kind.WRITE)
        _patch(patch, commit, "write_fragments", Kind.WRITE)
        _patch(patch, column_file, "LanceFileWriter", Kind.WRITE)
        _patch(patch, commit, "LanceFileReader", Kind.READ)
        for room in (commit, columns):
            _patch(patch, room, "require_staged", Kind.READ)
        patch.setattr(compact, "Compaction", _Compaction)
        for room in (files, presence, store_clock):
            patch.setattr(room, "locate", _locate)
        for room in (clean, compact):
            _patch(patch, room, "store_time", Kind.CLOCK)
        _patch_leases(patch)
        for room in (lease, retries):
            patch.setattr(room, "time", _Time)
        for room in (lease, files):
            patch.setattr(room, "datetime", _DateTime)
        yield


_RealCompaction = compact.Compaction
_real_locate = files.locate


class _Compaction:
    """Planned and executed in separate steps; `commit_by_lance` is the one that commits."""

    @staticmethod
    def plan(dataset: Any, options: Any) -> Any:
        plan = at_point(Kind.READ, "Compaction.plan", lambda: _RealCompaction.plan(dataset, options))
        return SimpleNamespace(tasks=[_Task(task) for task in plan.tasks])

    commit = _RealCompaction.commit


@dataclass
class _Task:
    task: Any

    def execute(self, dataset: Any) -> Any:
        return at_point(Kind.WRITE, "CompactionTask.execute", lambda: self.task.execute(dataset))


STORE = "file-object-store://"
"""what Lance calls a local folder that it reaches as it reaches any object store"""


def _locate(address: str, what: str) -> Any:
    filesystem, folder = _real_locate(address.removeprefix(STORE), what)
    return _Filesystem(filesystem), folder


@dataclass
class _Filesystem:
    """In which files are removed one step at a time."""

    filesystem: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.filesystem, name)

    def rm_file(self, path: str) -> Any:
        return at_point(Kind.REMOVE, "rm_file", lambda: self.filesystem.rm_file(path))


def _patch_leases(patch: pytest.MonkeyPatch) -> None:
    dataset = lance.LanceDataset
    update, delete = dataset.update_config, dataset.delete_config_keys

    def update_config(self: Any, upserts: Any) -> Any:
        def call() -> Any:
            result = update(self, upserts)
            _log(thread, {key: holder.id for key, holder in lease.holders_in(upserts).items()})
            return result

        thread = acting()
        return at_point(Kind.COMMIT, "update_config", call)

    def delete_config_keys(self: Any, keys: Any) -> Any:
        def call() -> Any:
            result = delete(self, keys)
            _log(thread, dict.fromkeys(keys))
            return result

        thread = acting()
        return at_point(Kind.COMMIT, "delete_config_keys", call)

    keep = lease.Lease.keep

    def noted_keep(self: lease.Lease) -> None:
        thread, renewing = current(), self._renewing
        was_replaced = isinstance(renewing, _Renewing) and renewing.has_ended
        keep(self)
        if was_replaced and thread is not None:
            thread.process.notes["goes on, replaced"] = True

    patch.setattr(lease.Lease, "keep", noted_keep)
    patch.setattr(dataset, "update_config", update_config)
    patch.setattr(dataset, "delete_config_keys", delete_config_keys)
    patch.setattr(lease, "threading", SimpleNamespace(Thread=_Renewing, Event=_Event))
    patch.setattr(lease, "Process", SimulatedProcess)
    patch.setattr(lease, "HEARTBEAT_SECONDS", 1.0)
    patch.setattr(lease, "PATIENCE_SECONDS", 3.0)


def _log(thread: Thread | None, entries: dict[str, str | None]) -> None:
    if thread is not None:
        scheduler = thread.scheduler
        over = frozenset((p.letter, p.number) for p in scheduler.processes if p.is_dead or p.has_ended)
        for key, holder in entries.items():
            scheduler.leases.append(LeaseWrite(scheduler.now, thread.process, key, holder, over))


@dataclass(frozen=True)
class SimulatedProcess:
    """Stands for `pipeline.processes.Process`: one process each letter, all on one machine, or each on its own."""

    place: str
    pid: int
    start: str

    @classmethod
    def this(cls) -> SimulatedProcess:
        thread = current()
        assert thread is not None
        return cls("elsewhere" if APART else "here", ord(thread.process.letter), str(thread.process.number))

    @property
    def life(self) -> Life:
        thread = current()
        assert thread is not None
        process = next(
            process
            for process in thread.scheduler.processes
            if (ord(process.letter), str(process.number)) == (self.pid, self.start)
        )
        if self.place != "here" and process is not thread.process:
            return Life.UNKNOWN
        return Life.DEAD if process.is_dead or process.has_ended else Life.ALIVE


APART = False
"""whether each process has a machine of its own: others then see nothing of it but its entry in the table"""


class _Time:
    """Stands for the module `time`."""

    @staticmethod
    def sleep(seconds: float) -> None:
        thread = current()
        if thread is None:
            time.sleep(seconds)
        else:
            thread.wait_for_turn(Call(Kind.SLEEP, "sleep", wake=thread.scheduler.now + seconds))

    @staticmethod
    def monotonic() -> float:
        thread = current()
        if thread is None:
            return time.monotonic()
        thread.wait_for_turn(Call(Kind.CLOCK, "monotonic"))
        return thread.scheduler.now


class _DateTime(datetime):
    """Stands for the class `datetime`."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        thread = current()
        if thread is None:
            return datetime.now(tz)
        thread.wait_for_turn(Call(Kind.CLOCK, "now"))
        return datetime.fromtimestamp(time.time() + thread.scheduler.now, tz)


class _Event:
    """Stands for `threading.Event`, between the threads of a process."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: Call | None = None

    def set(self) -> None:
        self._is_set = True
        if self._waiting is not None:
            self._waiting.wake = 0.0

    def wait(self, seconds: float) -> bool:
        thread = current()
        assert thread is not None
        if self._is_set:
            if thread.process.is_dead:
                raise Killed
            return True
        self._waiting = Call(Kind.SLEEP, "wait", wake=thread.scheduler.now + seconds, gives_way=True)
        thread.wait_for_turn(self._waiting)
        return self._is_set


class _Renewing:
    """Stands for `threading.Thread`: the thread that renews a lease."""

    def __init__(self, target: Callable[[], None], name: str, daemon: bool) -> None:
        self._target = target
        self._thread: Thread | None = None

    @property
    def has_ended(self) -> bool:
        """Before it was asked to, that is: it has found that another run holds the lease."""
        return self._thread is not None and self._thread.is_finished

    def start(self) -> None:
        thread = current()
        assert thread is not None
        self._thread = thread.scheduler.start_beside(thread, self._target)

    def join(self) -> None:
        thread, other = current(), self._thread
        assert thread is not None
        assert other is not None
        thread.wait_for_turn(
            Call(Kind.NOTHING, "join", is_ready=lambda: other.is_finished, waits_for=other, gives_way=True)
        )
