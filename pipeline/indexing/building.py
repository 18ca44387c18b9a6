"""Around every build of indexes: no other one runs at the same time, and what a killed one has left is removed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from pipeline import table
from pipeline.errors import TableError
from pipeline.table import TableUri

log = logging.getLogger(__name__)


@contextmanager
def building(uri: TableUri) -> Iterator[None]:
    """Holds the lease `table.BUILDING`. At its end, deletes files of indexes that no version refers to.

    Young ones only where a run of ours is known to have died: another program may be about to commit an index.

    Raises:
        TableError: another run builds indexes.
    """
    is_after_death = any(
        holder.work == table.BUILDING and holder.is_known_dead()
        for holder in table.read_holders(table.open_table(uri)).values()
    )
    with table.at_work(uri, table.BUILDING):
        yield
    try:
        left = table.remove_leftovers(
            uri, (table.INDEX_FOLDER,), timedelta() if is_after_death else table.VERSIONS_KEPT
        )
    except TableError as error:
        log.info("table %s: files that killed runs have left stay: %s", uri, error)
        return
    if left.files:
        size = sum(file.size for file in left.files) / 1e6
        log.info("table %s: removed %d files (%.1f MB) that killed builds have left", uri, len(left.files), size)
