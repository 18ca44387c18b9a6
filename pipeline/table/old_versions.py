"""Removing old versions: each commit leaves one behind, and each merge of fragments the rows that it has rewritten."""

from __future__ import annotations

from datetime import timedelta

from pipeline.table.store import Table

KEPT = timedelta(days=1)
"""versions younger than this stay, for whoever reads them or is about to commit from them"""
COMMITS_BETWEEN = 1_000


def remove(table: Table) -> None:
    """Removes versions older than `KEPT` with the files that no other version has; never the newest, nor tagged ones.

    Files that no version refers to yet are left alone: a run may be about to commit them. (Lance takes them for garbage
    once they are seven days old.)
    """
    table.lance.cleanup_old_versions(older_than=KEPT, delete_unverified=False, error_if_tagged_old_versions=False)
