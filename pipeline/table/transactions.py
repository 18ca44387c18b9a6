"""Commits to a table that other jobs commit to as well. Refused commits are retried only here.

A commit is made for one snapshot of the table. Lance refuses it if another job has committed a conflicting change
since. It is also refused if a version since then is missing (`pipeline.table.versions`), because Lance skips what it
cannot read. Then the change is made again, for the newest snapshot.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import lance
from lance.commit import CommitConflictError

from pipeline import schema, this_run
from pipeline.errors import OutdatedError, TableError
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table, open_table
from pipeline.table.uri import TableUri
from pipeline.table.versions import RemovedVersionError, require_versions

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20

Landed = TypeVar("Landed")


def commit(uri: TableUri, version: int, operation: Any) -> Any:
    """Commits a Lance operation in one atomic commit, without retries.

    Args:
        version: version of the snapshot that the operation was made for; 0 for a table that does not exist yet.
    Returns:
        Lance's dataset at the new version.

    Raises:
        OSError: from Lance, or `RemovedVersionError`. `is_refusal` says whether it is a refusal.
    """
    landed = send(uri, lance.Transaction(version, operation, transaction_properties=run_note({})))
    this_run.current.committed(int(landed.version), {})
    return landed


def run_note(rows: Mapping[str, int]) -> dict[str, str]:
    """What a commit notes about the run that makes it, where the run has a record. `history` reads it.

    Args:
        rows: that the commit adds, by status.
    """
    run = this_run.current.id
    return {} if run is None else {schema.RUN_KEY: json.dumps({"id": run, **rows})}


def send(uri: TableUri, transaction: Any) -> Any:
    """As `commit`, for a caller that needs to find the transaction later by its `uuid`."""
    place: Any = uri.dataset
    if transaction.read_version:  # else there is no table yet
        place = lance.dataset(uri.dataset, storage_options=uri.storage_options)
        require_versions(uri, transaction.read_version, place.version)
    return lance.LanceDataset.commit(place, transaction, max_retries=0, storage_options=uri.storage_options)


def commit_by_lance(table: Table, call: Callable[[], Landed]) -> Landed:
    """Calls a method of Lance that commits by itself, on a handle of the version of `table`.

    Raises:
        OSError: from Lance, or `RemovedVersionError`. `is_refusal` says whether it is a refusal.
    """
    require_versions(table.uri, table.version, table.lance.latest_version)
    return call()


def is_conflict(error: Exception) -> bool:
    """Whether Lance refused a commit because of another commit. Some Lance calls say so only in the error's text."""
    if isinstance(error, CommitConflictError):
        return True
    return isinstance(error, OSError) and ("ncompatible transaction" in str(error) or "conflict" in str(error))


def is_removed_version(error: Exception) -> bool:
    """Whether a version that is read, or that a commit was made for, is missing: another tool's cleanup removed it."""
    if isinstance(error, RemovedVersionError):
        return True
    return isinstance(error, OSError) and "_versions/" in str(error) and "was not found" in str(error)


def is_refusal(error: Exception) -> bool:
    """Whether a commit has to be made anew for the newest version: see `is_conflict` and `is_removed_version`."""
    return is_conflict(error) or is_removed_version(error)


def attempts(uri: TableUri) -> Iterator[int]:
    """Counts attempts of a commit, from 0.

    Raises:
        TableError: after `MAX_ATTEMPTS` attempts.
    """
    yield from range(MAX_ATTEMPTS)
    raise TableError(
        f"table {uri}: {MAX_ATTEMPTS} commits in a row were refused, because other jobs committed first; "
        "run the same command again when they are done"
    )


def until_landed(uri: TableUri, change: Callable[[Table], Landed]) -> Landed:
    """Calls `change` with the newest snapshot until Lance accepts its commits.

    Returns:
        the result of `change`.

    Raises:
        TableError: there is no such table, or `MAX_ATTEMPTS` commits in a row were refused.
        StorageError: the store failed.
    """
    for _ in attempts(uri):
        table = open_table(uri)
        with store_failures(uri):
            try:
                return change(table)
            except OSError as error:
                if not is_refusal(error):
                    raise
            except OutdatedError:
                pass  # as a refusal
        log.info("table %s: another job has committed; the change is retried on the newest version", uri)
    raise AssertionError("attempts() ends in an error")
