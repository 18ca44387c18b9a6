"""Recording that sources have other times or etags than when they were embedded, and the same content."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.errors import TableError
from pipeline.table.column_file import FragmentUpdate
from pipeline.table.columns import commit_columns
from pipeline.table.commit import MAX_ATTEMPTS
from pipeline.table.lease import Lease
from pipeline.table.store import Table, open_table

log = logging.getLogger(__name__)


def record_versions(table: Table, versions: Mapping[str, str]) -> Table:
    """Gives every row of these sources, by path, its new `source_version`, in one atomic commit.

    Returns:
        the table's new state.

    Raises:
        TableError: other writers were quicker, `MAX_ATTEMPTS` times.
    """
    with Lease(table.uri, "record copies") as lease:  # column files are in use before any version refers to them
        lease.keep()
        return _record(open_table(table.uri), versions)


def _record(table: Table, versions: Mapping[str, str]) -> Table:
    paths, wanted = pa.array(versions.keys(), pa.string()), pa.array(versions.values(), pa.string())
    for _ in range(MAX_ATTEMPTS):
        fragments = table.dataset.get_fragments()
        updates = [update for fragment in fragments if (update := _update(fragment, paths, wanted)) is not None]
        if not updates:
            return table
        landed = commit_columns(table, updates)
        table = open_table(table.uri)
        if landed:
            return table
        log.warning("table %s: another job has committed; taking its state", table.uri)
    raise TableError(
        f"table {table.uri}: {MAX_ATTEMPTS} commits in a row were refused; try again when other jobs are done"
    )


def _update(fragment: Any, paths: pa.Array, wanted: pa.Array) -> FragmentUpdate | None:
    """How a fragment's rows get their new versions; None where it has no row that lacks it."""
    changes = []
    for batch in fragment.to_batches(columns=[schema.SOURCE, schema.SOURCE_VERSION], with_row_address=True):
        version = wanted.take(pc.index_in(batch[schema.SOURCE], value_set=paths))
        is_other = pc.fill_null(pc.not_equal(version, batch[schema.SOURCE_VERSION]), False)
        changes.append(
            pa.table({"_rowaddr": batch["_rowaddr"], schema.SOURCE_VERSION: version}).filter(is_other),
        )
    values = pa.concat_tables(changes) if changes else None
    if values is None or values.num_rows == 0:
        return None
    metadata, fields = fragment.update_columns(values, left_on="_rowaddr", right_on="_rowaddr")
    return metadata, fields
