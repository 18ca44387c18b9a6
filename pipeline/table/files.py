"""The files of a table: missing files that it refers to, and leftover files that no version refers to.

A killed run leaves files that no version of the table refers to: of fragments, or of indexes. They are garbage only if
no active run is about to commit them. Lance's cleanup removes such files either at once or after a week. Here the
leases of active runs (`pipeline.table.lease`) decide.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from pipeline.errors import TableError
from pipeline.processes import Life
from pipeline.storage.filesystems import is_local, locate
from pipeline.storage.lance_store import first_sentence, is_store_failure, store_failed
from pipeline.storage.retries import AbsentError, patiently
from pipeline.table.lease import Holder, watch
from pipeline.table.object_store import store_failures
from pipeline.table.store import READ_AHEAD_BYTES, Table, open_table
from pipeline.table.transactions import MAX_ATTEMPTS
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

SAFE_AGE = timedelta(days=7)
"""A silent run on another machine may be suspended only. Files younger than this may still belong to it."""

INDEX_FOLDER = "_indices/"
FOLDERS = ("data/", "_deletions/", INDEX_FOLDER)
"""where contents of rows are stored"""


@dataclass(frozen=True)
class StoredFile:
    path: str
    """below the dataset's folder"""
    size: int
    """bytes"""
    modified: datetime


@dataclass(frozen=True)
class Leftovers:
    """What dead runs have left in a table's folder."""

    files: tuple[StoredFile, ...]
    """files that no version refers to, tagged versions included; empty while a run is active"""
    dead: Mapping[str, Holder]
    """entries of runs that ended without removing their entry, by key"""
    at_work: tuple[Holder, ...]
    """active runs"""
    silent: tuple[Holder, ...]
    """runs on other machines that send no heartbeat; files younger than `SAFE_AGE` may belong to them and are kept"""


def _local_time() -> datetime:
    return datetime.now(UTC)


def find_leftovers(uri: TableUri) -> Leftovers:
    """Checks all versions, all files and all active runs. Waits for a heartbeat of runs on other machines.

    Raises:
        TableError: the table has branches, whose files are not checked; or other runs commit all the time.
    """
    _, leftovers = judge(uri, _local_time)
    return leftovers


def judge(
    uri: TableUri,
    clock: Callable[[], datetime],
    folders: tuple[str, ...] = FOLDERS,
    least_age: timedelta = timedelta(),
) -> tuple[Table, Leftovers]:
    """As `find_leftovers`, with the snapshot that was judged.

    Args:
        clock: the time that tells how old a file is: the store's (`store_clock.store_time`) where files are deleted.
        folders: where to look for files.
        least_age: younger files are left out.
    """
    for _ in range(MAX_ATTEMPTS):
        # A run that starts or ends meanwhile writes a version. Then the leases and the files do not match: look again.
        table = open_table(uri)
        lives = watch(uri)
        at_work = tuple(holder for holder, life in lives.values() if life is Life.ALIVE)
        now = clock()
        silent = tuple(holder for holder, life in lives.values() if life is Life.UNKNOWN and not _is_old(holder, now))
        dead = {key: holder for key, (holder, life) in lives.items() if life is not Life.ALIVE and holder not in silent}
        if at_work:
            return table, Leftovers((), dead, at_work, silent)
        with store_failures(uri):
            files = tuple(_unreferenced(table, folders))
        if open_table(uri).version == table.version:
            # Some stores tell times in whole seconds, so a leftover may be as young as `now`.
            limit = now - max(least_age, SAFE_AGE if silent else timedelta())
            return table, Leftovers(tuple(file for file in files if file.modified <= limit), dead, at_work, silent)
    raise TableError(
        f"table {uri}: other runs commit to it all the time, so leftovers cannot be found; "
        "run the same command again when they are done"
    )


def remove_files(uri: TableUri, files: tuple[StoredFile, ...]) -> None:
    """Deletes files of a table permanently.

    Raises:
        StorageError: the store still failed after retries.
    """
    filesystem, folder = locate(uri.dataset, "table")
    for file in files:
        path = f"{folder}/{file.path}"
        try:
            patiently(str(uri), lambda path=path: filesystem.rm_file(path))  # type: ignore[misc]
        except AbsentError:
            log.info("table %s: %s is already deleted", uri, file.path)
    if is_local(filesystem):  # stores have no folders
        for index in {Path(folder, file.path).parent for file in files if file.path.startswith(INDEX_FOLDER)}:
            with suppress(OSError):  # other files are in it
                index.rmdir()


def lost_files(table: Table) -> dict[int, list[str]]:
    """Fragments of this snapshot with missing or truncated files: what is wrong with the files, by fragment."""
    with store_failures(table.uri):
        sizes = {file.path: file.size for file in _files(table)}
        faults = {}
        for fragment in table.lance.get_fragments():
            expected = [(f"data/{file.path}", file.file_size_bytes) for file in fragment.metadata.files]
            deletions = fragment.deletion_file()
            if deletions is not None:
                expected.append((deletions, None))
            if wrong := [fault for path, size in expected if (fault := _fault(path, size, sizes.get(path)))]:
                faults[fragment.fragment_id] = wrong
    return faults


def unreadable_fragments(table: Table, numbers: Collection[int] | None = None) -> dict[int, str]:
    """Fragments of this snapshot that have an unreadable column: the cause, by fragment.

    Args:
        numbers: fragments to check; None for all.

    Raises:
        StorageError: the store failed.
    """
    found = {}
    for fragment in table.lance.get_fragments():
        if numbers is None or fragment.fragment_id in numbers:
            scanner = fragment.scanner(io_buffer_size=READ_AHEAD_BYTES, batch_readahead=2)
            try:
                for _ in scanner.to_batches():
                    pass
            except (ValueError, OSError) as error:
                if is_store_failure(error):
                    raise store_failed(f"table {table.uri}", error) from error
                files = ", ".join(f"data/{file.path}" for file in fragment.metadata.files)
                found[fragment.fragment_id] = f"{files}: {first_sentence(error)}"
    return found


def sizes_of_indexes(table: Table) -> Counter[str]:
    """Bytes of the stored files of each index, by the uuid that names its folder."""
    found: Counter[str] = Counter()
    for file in _files(table):
        folder, _, rest = file.path.partition("/")
        if f"{folder}/" == INDEX_FOLDER:
            found[rest.partition("/")[0]] += file.size
    return found


def _fault(path: str, size: int | None, found: int | None) -> str | None:
    if found is None:
        return f"{path} is missing"
    return f"{path} has {found} bytes, not {size}" if size and found != size else None


def require_no_branches(table: Table) -> None:
    """Raises TableError if the table has branches."""
    if table.lance.branches.list():
        raise TableError(
            f"table {table.uri}: it has branches, whose files siglane cannot check; delete the branches with Lance"
        )


def _unreferenced(table: Table, folders: tuple[str, ...]) -> Iterator[StoredFile]:
    require_no_branches(table)
    present = [file for file in _files(table) if file.path.startswith(folders)]
    referenced = set[str]()
    for batch in table.lance.tracked_files():  # the files of every kept version
        referenced.update(pc.unique(batch["path"]).to_pylist())
    yield from (file for file in present if file.path not in referenced)


def _files(table: Table) -> Iterator[StoredFile]:
    for batch in table.lance.all_files():
        rows: list[dict[str, Any]] = batch.select(["path", "size_bytes", "last_modified"]).to_pylist()
        for row in rows:
            yield StoredFile(row["path"], row["size_bytes"], row["last_modified"])


def _is_old(holder: Holder, now: datetime) -> bool:
    """Whether its last heartbeat, by its own clock, is so old that the run will commit nothing more."""
    return now - datetime.fromisoformat(holder.heartbeat) > SAFE_AGE
