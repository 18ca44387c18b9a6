"""Finds out before the first write whether a table can be written, and whether its store keeps it whole.

A commit is a new manifest written under the condition that there is none of its number (`If-None-Match: *`). A store
that ignores the condition would let the slower of two committers overwrite the other's commit.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.errors import SiglaneError, UsageError
from pipeline.storage.filesystems import locate
from pipeline.storage.retries import AbsentError, Failure, failure_of, patiently
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)


def require_writable(uri: TableUri) -> None:
    """Finds out what would else fail, or be lost, at the writes of a run: of a store, by writing.

    Raises:
        UsageError: the table's folder cannot be written to, or as `require_conditional_puts`.
        StorageError: as `require_conditional_puts`.
    """
    if "://" in uri.database:
        require_conditional_puts(uri)
        return
    folder = Path(uri.database)
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"table {uri}: {folder} is not a folder that can be written to; name another --table")


def require_conditional_puts(uri: TableUri) -> None:
    """Writes one object twice under the condition that it is not there; the second must be refused.

    Raises:
        UsageError: it was not, or there is no such bucket.
        StorageError: the store refuses these credentials, or failed also after retries.
    """
    filesystem, folder = locate(uri.dataset, "table")
    probe = f"{folder}/siglane-probe-{uuid4().hex}"
    try:
        patiently(str(uri), lambda: _create(filesystem, probe))
        overwritten = patiently(str(uri), lambda: _create(filesystem, probe))
    except AbsentError as error:
        raise UsageError(f"table {uri}: {error}; make the bucket, or name another --table") from error
    _remove(filesystem, probe, uri)
    if overwritten:
        raise UsageError(
            f"table {uri}: its store overwrites an object that was to be written only if absent (If-None-Match: *), so "
            "two runs could lose each other's commits; put the table on a store that keeps the condition, or on disk"
        )


def _create(filesystem: Any, path: str) -> bool:
    """Whether the store took the object; a try after a lost answer may find what the first one wrote."""
    try:
        filesystem.pipe_file(path, b"siglane", mode="create")
    except Exception as error:
        if isinstance(error, FileExistsError) or failure_of(error) is Failure.CHANGED:
            return False
        raise
    return True


def _remove(filesystem: Any, path: str, uri: TableUri) -> None:
    try:
        patiently(str(uri), lambda: filesystem.rm_file(path))
    except SiglaneError as error:
        log.warning("table %s: the probe %s could not be removed: %s", uri, path.rpartition("/")[2], error)
