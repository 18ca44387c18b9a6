"""Checks, before the first write, that a table can be written and that its store makes commits safe.

A commit writes a new manifest under the condition that no manifest has its number yet (`If-None-Match: *`). If a store
ignores the condition, the slower of two committers overwrites the other's commit.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.errors import SiglaneError, UsageError
from pipeline.storage.filesystems import locate
from pipeline.storage.retries import AbsentError, Failure, failure_of, patiently
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)


def require_writable(uri: TableUri) -> None:
    """Checks that a table can be written. It writes a probe, which it removes again.

    Raises:
        UsageError: the table's folder cannot be written, or as `require_conditional_puts`.
        StorageError: as `require_conditional_puts`.
    """
    if "://" in uri.database:
        require_conditional_puts(uri)
        return
    folder = Path(uri.database)
    try:
        while not folder.exists():
            folder = folder.parent
        # Only a try tells: root may write everywhere by its rights, and still not into /proc or a read-only disk.
        Path(tempfile.mkdtemp(prefix=".siglane-probe-", dir=folder)).rmdir()
    except OSError as error:
        raise UsageError(
            f"table {uri}: cannot write to {folder}: {error.strerror}; make the folder writable, or choose "
            "another --table"
        ) from error


def require_conditional_puts(uri: TableUri) -> None:
    """Writes one object twice, each time under the condition that it does not exist. The store must refuse the second.

    Raises:
        UsageError: the store accepted the second write, or there is no such bucket.
        StorageError: the store refuses these credentials, or still failed after retries.
    """
    filesystem, folder = locate(uri.dataset, "table")
    probe = f"{folder}/siglane-probe-{uuid4().hex}"
    try:
        patiently(str(uri), lambda: _create(filesystem, probe))
        overwritten = patiently(str(uri), lambda: _create(filesystem, probe))
    except AbsentError as error:
        raise UsageError(f"table {uri}: {error}; create the bucket, or choose another --table") from error
    _remove(filesystem, probe, uri)
    if overwritten:
        raise UsageError(
            f"table {uri}: its store ignores conditional writes (If-None-Match: *), so two runs could overwrite each "
            "other's commits; put the table on a store that supports conditional writes, or on local disk"
        )


def _create(filesystem: Any, path: str) -> bool:
    """Whether the store accepted the object. A retry after a lost answer may find the object of the first try."""
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
        log.warning("table %s: the probe %s could not be deleted: %s", uri, path.rpartition("/")[2], error)
