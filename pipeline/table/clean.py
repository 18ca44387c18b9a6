"""Removes what dead runs have left, also beside a run that cannot be seen and is about to commit some of it.

A run has no lease before its table exists, or after another run took its lease over while it was suspended. So files
that look like leftovers may still be committed. Between a run's last look at its files and its commit, they could be
deleted. That no commit then names them takes both sides:

- A cleaning, before it deletes, puts a new id into the table's configuration. Then it commits an Update that lists all
  fragments, unchanged. Lance refuses it if any data was committed since the files were listed. It also refuses every
  later commit that is based on a version before it.
- A writer commits only files that were staged since the last cleaning that its base version knows of. It writes others
  anew (`pipeline.table.commit`), or computes them again (`pipeline.table.columns`). No cleaning has those on its list.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import uuid4

import lance

from pipeline.table.files import FOLDERS, Leftovers, judge, remove_files
from pipeline.table.lease import forget
from pipeline.table.object_store import store_failures
from pipeline.table.store import Table
from pipeline.table.store_clock import store_time
from pipeline.table.transactions import attempts, commit, is_refusal
from pipeline.table.uri import TableUri

_CLEANED = "siglane:cleaned"


def last_cleaning(table: Table | None) -> str | None:
    """The id of the last cleaning that this snapshot knows of. It may still be deleting files staged before it."""
    return None if table is None else table.lance.config().get(_CLEANED)


def remove_leftovers(
    uri: TableUri, folders: tuple[str, ...] = FOLDERS, least_age: timedelta = timedelta()
) -> Leftovers:
    """Deletes the files and entries that dead runs have left, and returns them. Deletes no files while a run is active.

    Args:
        folders: where to look for files.
        least_age: younger files stay.

    Raises:
        TableError: as `find_leftovers`.
        StorageError: the store failed.
    """
    for _ in attempts(uri):
        table, leftovers = judge(uri, partial(store_time, uri), folders, least_age)
        if leftovers.files and not _announce(table):
            continue
        remove_files(uri, leftovers.files)
        forget(uri, leftovers.dead)
        return leftovers
    raise AssertionError("attempts() ends in an error")


def _announce(table: Table) -> bool:
    """Announces a cleaning that was judged on this snapshot. False if another job, perhaps a run, has started since."""
    judged, fragments = table.version, [fragment.metadata for fragment in table.lance.get_fragments()]
    with store_failures(table.uri):
        try:
            table.lance.update_config({_CLEANED: uuid4().hex})
            announced = commit(table.uri, judged, lance.LanceOperation.Update(updated_fragments=fragments))
        except OSError as error:
            if not is_refusal(error):
                raise
            return False
    return int(announced.version) == judged + 2
