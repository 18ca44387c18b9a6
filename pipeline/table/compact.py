"""Merging small fragments: each commit brings some in, and many slow every later write and read."""

from __future__ import annotations

import logging

from lance.optimize import Compaction

from pipeline.table.store import Table, open_table
from pipeline.table.transactions import is_conflict

log = logging.getLogger(__name__)

ROWS_PER_FRAGMENT = 65_536


def merge_if_many(table: Table) -> Table:
    """Merges neighbouring small fragments once they hold as many rows as a full one; gives the table's new state.

    Where another job has committed to the same fragments meanwhile, they are left as they are, for a later call.
    """
    small = [rows for rows in _rows_of_fragments(table) if rows < ROWS_PER_FRAGMENT]
    return merge_small(table) if sum(small) >= ROWS_PER_FRAGMENT and len(small) > 1 else table


def merge_small(table: Table) -> Table:
    """Merges neighbouring small fragments, however few."""
    if sum(rows < ROWS_PER_FRAGMENT for rows in _rows_of_fragments(table)) < 2:
        return table
    plan = Compaction.plan(table.lance, {"target_rows_per_fragment": ROWS_PER_FRAGMENT})
    rewritten = [task.execute(table.lance) for task in plan.tasks]
    if not rewritten:
        return table
    try:
        Compaction.commit(table.lance, rewritten)
    except OSError as error:
        if not is_conflict(error):
            raise
        log.info("table %s: fragments left small, since another job changes them", table.uri)
    return open_table(table.uri)


def _rows_of_fragments(table: Table) -> list[int]:
    return [fragment.metadata.num_rows for fragment in table.lance.get_fragments()]
