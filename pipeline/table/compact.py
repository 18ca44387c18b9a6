"""Merges small fragments and removes old versions: each commit leaves some of both.

Many fragments slow every later write and read. An old version keeps the files that merging has replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType

from lance.optimize import Compaction

from pipeline.processes import Life
from pipeline.table.lease import BUILDING, read_holders
from pipeline.table.store import Table, open_table
from pipeline.table.store_clock import store_time
from pipeline.table.transactions import attempts, commit_by_lance, is_refusal, until_landed
from pipeline.table.uri import TableUri

log = logging.getLogger(__name__)

ROWS_PER_FRAGMENT = 65_536
VERSIONS_KEPT = timedelta(days=1)
"""younger versions are kept for readers, and for writers that are about to commit from them"""
COMMITS_BETWEEN_CLEANUPS = 1_000
MAX_CLOCK_AHEAD = timedelta(hours=1)
LONGEST_RUN = timedelta(days=6)
LONGEST_SILENCE = timedelta(minutes=10)
"""of a run that may still be building an index on another machine"""


def merge_if_many(table: Table) -> Table:
    """Merges neighbouring small fragments once they hold as many rows as a full one. Returns the newest snapshot.

    If another job has changed the same fragments meanwhile, they stay small until a later call.
    """
    small = [rows for rows in _rows_of_fragments(table) if rows < ROWS_PER_FRAGMENT]
    return merge_small(table) if sum(small) >= ROWS_PER_FRAGMENT and len(small) > 1 else table


def merge_small(table: Table) -> Table:
    """Merges neighbouring small fragments, however few."""
    if sum(rows < ROWS_PER_FRAGMENT for rows in _rows_of_fragments(table)) < 2:
        return table
    if _is_being_indexed(table):
        log.info("table %s: small fragments are not merged while an index is built", table.uri)
        return table
    try:
        _merge(table)
    except OSError as error:
        if not is_refusal(error) and not table.is_outdated():
            raise
        log.info("table %s: small fragments were not merged, because another job changes them", table.uri)
    return open_table(table.uri)


def merge_all(uri: TableUri) -> None:
    """Merges neighbouring small fragments, and rewrites those that have lost many rows.

    Raises:
        TableError: `MAX_ATTEMPTS` merges in a row were overtaken.
    """
    until_landed(uri, _merge)


def rewrite_deleted(uri: TableUri) -> None:
    """Rewrites every fragment that has deleted rows, so that a file no longer holds them.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """
    for _ in attempts(uri):
        if not any(fragment.metadata.deletion_file for fragment in open_table(uri).lance.get_fragments()):
            return
        every = {"materialize_deletions": True, "materialize_deletions_threshold": 0.0, "defer_index_remap": False}
        until_landed(uri, partial(_merge, options={**every, "compaction_mode": "reencode"}))


def _merge(table: Table, options: Mapping[str, object] = MappingProxyType({})) -> None:
    # Committing a merge moves the handle that it is given on to the newest version, past commits of other runs. So it
    # is given one of its own: `table` still says from which version on a committer has to look for such commits.
    merged = table.lance.checkout_version(table.version)
    plan = Compaction.plan(merged, {"target_rows_per_fragment": ROWS_PER_FRAGMENT, **options})
    if rewritten := [task.execute(merged) for task in plan.tasks]:
        commit_by_lance(table, lambda: Compaction.commit(merged, rewritten))


def remove_old_versions(table: Table) -> int:
    """Removes versions older than `VERSIONS_KEPT`, and files that only they use. Keeps the newest and tagged versions.

    Returns:
        the size of the removed files in bytes.

    Files that no version refers to yet are kept, because a run may be about to commit them. But Lance treats them as
    garbage when they are seven days old by the clock of this machine. So nothing is removed while that clock is ahead
    of the store's, or while a run has been at work for almost that long.
    """
    now = datetime.now(UTC)
    if now - store_time(table.uri) > MAX_CLOCK_AHEAD:
        log.warning("table %s: the clock of this machine is ahead of the store's; old versions are kept", table.uri)
        return 0
    since = [datetime.fromisoformat(holder.since) for holder in read_holders(table).values()]
    if any(now - started > LONGEST_RUN for started in since):
        log.warning("table %s: a run has been at work for days; old versions are kept until it ends", table.uri)
        return 0
    removed = table.lance.cleanup_old_versions(
        older_than=VERSIONS_KEPT, delete_unverified=False, error_if_tagged_old_versions=False
    )
    return int(removed.bytes_removed)


def _is_being_indexed(table: Table) -> bool:
    """Whether another run builds an index. A merge moves the rows that the index is about, and it would be in vain."""
    return any(
        holder.work == BUILDING
        and holder.life is not Life.DEAD
        and datetime.now(UTC) - datetime.fromisoformat(holder.heartbeat) < LONGEST_SILENCE
        for holder in read_holders(table).values()
    )


def _rows_of_fragments(table: Table) -> list[int]:
    return [fragment.metadata.num_rows for fragment in table.lance.get_fragments()]
