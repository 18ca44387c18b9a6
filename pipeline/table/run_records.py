"""The records of a table's runs: one small JSON file for each, in the folder `_siglane/runs` of the dataset.

The files lie with the table on any store, and go with it where it is copied. They are no part of a version, so neither
a cleanup of versions nor a merge removes them, and the record of a run can be there before the table is. The name of a
file begins with the time at which its run began, so the newest are found without reading the others.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from pipeline.bottleneck import Bottleneck, Work
from pipeline.errors import TableError
from pipeline.processes import Life, Process
from pipeline.progress import View
from pipeline.storage.filesystems import is_local, locate
from pipeline.storage.retries import AbsentError, patiently
from pipeline.table.lease import PATIENCE_SECONDS, Holder
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

FOLDER = "_siglane/runs"
MOST_SECONDS_BETWEEN = 60.0
"""A run at work renews its record at least so often."""

_NAME = re.compile(r"(?P<id>\d{8}-\d{6}-[0-9a-f]{8})\.json")


class State(Enum):
    """How a run ended, or that it has not."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    """by a signal or a time limit: the same command continues"""
    FAILED = "failed"
    KILLED = "killed"
    """no end is known: its process or machine died"""


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run. All times are UTC, ISO 8601, by the clock of the machine it ran on."""

    id: str
    command: str
    work: str
    """the command and its input, without secrets"""
    options: Mapping[str, Any]
    """as the command line and the configuration file gave them, with the defaults, without secrets; empty after a
    purge"""
    folder: str
    """in which relative paths of the options lie"""
    siglane: str
    """version"""
    host: str
    user: str
    pid: int
    place: str
    process_start: str
    """`place` and `process_start`: as in `pipeline.processes.Process`"""
    ray_job: str | None
    started: str
    seen: str
    """when the record was last renewed"""
    ended: str | None = None
    state_at_end: str | None = None
    """a value of `State`"""
    exit_code: int | None = None
    message: str | None = None
    """why the exit code is not 0"""
    commits: int = 0
    """those of rows and of columns, not the heartbeats, merges and indexes"""
    first_version: int | None = None
    last_version: int | None = None
    """of its commits"""
    rows_read: int = 0
    """that the run has added to the table: embedded or imported, and rejected"""
    rows_embedded: int = 0
    rows_rejected: int = 0
    rows_skipped: int | None = None
    """that were in the table already"""
    rows_changed: int | None = None
    """that were in the table, and got values in their columns"""
    encoders: int | None = None
    device: str | None = None
    """`cpu` or `cuda`"""
    progress: Mapping[str, Any] | None = None
    """how far it was: a record of `pipeline.progress.View`; None at the end"""
    at_work: Mapping[str, float] | None = None
    encoders_busy: float | None = None
    bottleneck: Bottleneck | None = None
    """these three: as in `pipeline.bottleneck.Work`, of an embedding run that lasted long enough to tell"""

    def __post_init__(self) -> None:
        times = [datetime.fromisoformat(time) for time in (self.started, self.seen, self.ended) if time is not None]
        if any(time.tzinfo is None for time in times):
            raise ValueError("a time has no time zone")
        if self.state_at_end is not None:
            State(self.state_at_end)

    @property
    def state(self) -> State:
        """What is known by now. A run elsewhere counts as running while its record is renewed."""
        if self.state_at_end is not None:
            return State(self.state_at_end)
        return State.RUNNING if self.life is Life.ALIVE else State.KILLED

    @property
    def life(self) -> Life:
        """Of its process. For one on another machine, by the age of the record."""
        life = Process(self.place, self.pid, self.process_start).life
        age = (datetime.now(UTC) - datetime.fromisoformat(self.seen)).total_seconds()
        return Life.ALIVE if life is Life.UNKNOWN and age <= MOST_SECONDS_BETWEEN + PATIENCE_SECONDS else life

    @property
    def seconds(self) -> float:
        """From its start to its end; without a known end, to its last sign."""
        return (datetime.fromisoformat(self.ended or self.seen) - datetime.fromisoformat(self.started)).total_seconds()

    @property
    def busy_with(self) -> Work | None:
        """What the run was busy with: in all, or before its last sign."""
        if self.at_work is None or self.encoders_busy is None or self.bottleneck is None:
            return View.of_record(self.progress).details.work if self.progress else None
        return Work(self.at_work, self.encoders_busy, self.bottleneck)

    @property
    def rows_per_second(self) -> float | None:
        return self.rows_read / self.seconds if self.rows_read and self.seconds > 0 else None

    def as_holder(self) -> Holder:
        """The record as the entry that a run at work has in the table's configuration."""
        since = datetime.fromisoformat(self.started).isoformat(timespec="seconds")
        return Holder(
            *(self.work, self.host, self.pid, self.ray_job, since, self.place, self.process_start),
            heartbeat=self.seen,
            progress=self.progress,
            id=self.id,
        )


_RECORD = TypeAdapter(RunRecord)


def new_id(started: datetime) -> str:
    """An id that no other run has. Ids sort by the start of their runs."""
    return f"{started.astimezone(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:8]}"


class RecordFile:
    """The file of one run's record."""

    def __init__(self, uri: TableUri, run: str) -> None:
        self._filesystem, dataset = locate(uri.dataset, "table")
        self._dataset, self._folder, self._name = dataset, f"{dataset}/{FOLDER}", f"{run}.json"
        self._made: list[str] = []
        """folders of this machine's disk that were not there before, the outermost last"""

    def write(self, record: RunRecord) -> None:
        """Writes the record whole, or raises what the store raises and leaves the last one."""
        content = json.dumps(asdict(record), allow_nan=False).encode()
        path = f"{self._folder}/{self._name}"
        if not is_local(self._filesystem):
            self._filesystem.pipe_file(path, content)
            return
        self._make_folder()
        partial = Path(self._folder, f".{self._name}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _make_folder(self) -> None:
        folder, missing = Path(self._folder), []
        while not folder.exists():
            missing.append(str(folder))
            folder = folder.parent
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        self._made += missing

    def remove(self) -> None:
        """Removes the file, and the folders that were made for it and hold nothing else."""
        with suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._folder}/{self._name}")
        for folder in self._made:
            with suppress(OSError):  # another program has put something there
                Path(folder).rmdir()


def count_runs(uri: TableUri) -> int:
    """How many runs are recorded.

    Raises:
        StorageError: the store failed.
    """
    return len(_names(uri))


def read_runs(uri: TableUri, most: int) -> list[RunRecord]:
    """The records of the runs that began last, at most so many, the newest first. The table need not exist.

    Files that are no record are logged and left out.

    Raises:
        StorageError: the store failed.
    """
    found = []
    for path, content in _contents(uri, _last(most, _names(uri))):
        try:
            found.append(_parse(path, content))
        except TableError as error:
            log.warning("%s; it is left out", error)
    return sorted(found, key=lambda run: run.started, reverse=True)[:most]


def _last(most: int, names: list[str]) -> list[str]:
    """The last `most` names, and all others of the same second as the first of these: a name tells only the second."""
    if most >= len(names):
        return names
    second = names[-most].rpartition("-")[0]
    return [name for name in names if name.rpartition("-")[0] >= second]


def read_run(uri: TableUri, run: str) -> RunRecord | None:
    """The record of one run; None if there is none.

    Raises:
        StorageError: the store failed.
        TableError: its file is no record.
    """
    for path, content in _contents(uri, [name for name in _names(uri) if name == f"{run}.json"]):
        return _parse(path, content)
    return None


def forget_contents(uri: TableUri) -> None:
    """Takes from all records what may name contents of pairs: options, such as conditions, messages, and progress.

    Raises:
        StorageError: the store failed.
    """
    for path, content in _contents(uri, _names(uri)):
        try:
            record = _parse(path, content)
        except TableError:
            patiently(str(uri), RecordFile(uri, Path(path).stem).remove)
            continue
        left = replace(record, work=record.command, options={}, message=None, progress=None)
        patiently(str(uri), partial(RecordFile(uri, record.id).write, left))


def _names(uri: TableUri) -> list[str]:
    """Of the files, the oldest first."""
    filesystem, dataset = locate(uri.dataset, "table")
    folder = f"{dataset}/{FOLDER}"

    def listed() -> list[str]:
        filesystem.invalidate_cache(folder)
        return list(filesystem.ls(folder, detail=False))

    try:
        found = patiently(str(uri), listed)
    except AbsentError:
        return []
    return sorted(name for path in found if _NAME.fullmatch(name := str(path).rpartition("/")[2]))


def _contents(uri: TableUri, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file."""
    filesystem, dataset = locate(uri.dataset, "table")
    paths = [f"{dataset}/{FOLDER}/{name}" for name in names]
    # one request for each, all at once where the store can; a file may be gone by now
    contents = patiently(str(uri), lambda: filesystem.cat(paths, on_error="omit")) if paths else {}
    for path in paths:
        if path in contents:
            yield path, contents[path]


def _parse(path: str, content: bytes) -> RunRecord:
    """The record in a file. Fields that only newer versions of siglane know are ignored.

    Raises:
        TableError: it is none, e.g. cut short when a disk was full.
    """
    try:
        return _RECORD.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TableError(
            f"{path}: no record of a run: {f'{where}: ' if where else ''}{first['msg']}; delete this file"
        ) from error
