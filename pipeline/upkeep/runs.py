"""The past and present runs of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline import schema, table
from pipeline.table import RunRecord, State, Table, TableUri

VERSIONS_LOOKED_AT = 200
"""for the last commits of a killed run: minutes of its work, of which its record may lack one"""


def runs(uri: TableUri, most: int) -> tuple[list[RunRecord], int]:
    """The runs that began last, at most so many, the newest first; and how many there are.

    Of a fixed version, only those that it comes from. The record of a killed run may lack its last commits;
    they are taken from the table's history.

    Raises:
        TableError: there is neither a record nor a table, or no such version.
    """
    recorded = table.count_runs(uri)
    if uri.state is None:
        found = table.read_runs(uri, most)
        if not found:
            table.open_table(uri)  # raises
        return _completed(uri, found), recorded
    version = table.open_table(uri).version
    found = [run for run in table.read_runs(uri, recorded) if (run.first_version or version + 1) <= version]
    return _completed(uri, found[:most]), len(found)


def run(uri: TableUri, name: str) -> RunRecord | None:
    """The run of that id, as `runs` gives it; None if it has no record."""
    found = table.read_run(uri, name)
    return None if found is None else _completed(uri, [found])[0]


def _completed(uri: TableUri, found: Sequence[RunRecord]) -> list[RunRecord]:
    has_killed = any(run.state is State.KILLED for run in found)
    opened = table.open_if_exists(replace(uri, state=None)) if has_killed else None
    if opened is None:
        return list(found)
    return [_complete(run, opened) if run.state is State.KILLED else run for run in found]


def _complete(run: RunRecord, opened: Table) -> RunRecord:
    more = table.commits_of_run(opened, run.id, run.last_version, VERSIONS_LOOKED_AT)
    if not more:
        return run
    embedded, rejected = (
        known + sum(commit.rows.get(status, 0) for commit in more)
        for known, status in ((run.rows_embedded, schema.SUCCESS), (run.rows_rejected, schema.REJECTED))
    )
    return replace(
        run,
        commits=run.commits + len(more),
        first_version=run.first_version or more[0].version,
        last_version=more[-1].version,
        rows_read=embedded + rejected,
        rows_embedded=embedded,
        rows_rejected=rejected,
    )
