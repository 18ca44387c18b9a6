"""The time by the store's clock. Ages of files are told by it: the clock of this machine may be days ahead."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from pipeline.storage.filesystems import locate
from pipeline.storage.retries import patiently
from pipeline.table.uri import TableUri


def store_time(uri: TableUri) -> datetime:
    """Now, by the clock of the table's store: when it says that a small file was written, which is deleted again.

    Raises:
        StorageError: the store still failed after retries.
    """
    filesystem, folder = locate(uri.dataset, "table")
    probe = f"{folder}/siglane-clock-{uuid4().hex}"
    patiently(str(uri), lambda: filesystem.pipe_file(probe, b"siglane"))
    try:
        written: datetime = patiently(str(uri), lambda: filesystem.modified(probe))
    finally:
        patiently(str(uri), lambda: filesystem.rm_file(probe))
    return written if written.tzinfo else written.replace(tzinfo=UTC)
