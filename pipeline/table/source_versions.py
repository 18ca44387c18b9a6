"""Records new versions of sources whose time or etag has changed since they were embedded, but not their content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.fileformats.row_address import ROW_ADDRESS
from pipeline.table.column_file import FragmentUpdate
from pipeline.table.columns import commit_columns
from pipeline.table.lease import at_work
from pipeline.table.store import Table, open_table
from pipeline.table.transactions import until_landed


def record_versions(table: Table, versions: Mapping[str, str]) -> Table:
    """Sets the new `source_version` of every row of these sources, in one atomic commit.

    Args:
        versions: the new version by source path.

    Returns:
        the table at its new version.

    Raises:
        TableError: `MAX_ATTEMPTS` commits in a row were refused.
    """
    paths, wanted = pa.array(versions.keys(), pa.string()), pa.array(versions.values(), pa.string())

    def change(table: Table) -> bool:
        fragments = table.lance.get_fragments()
        updates = [update for fragment in fragments if (update := _update(fragment, paths, wanted)) is not None]
        if updates:
            commit_columns(table, updates)
        return bool(updates)

    with at_work(table.uri, "record copies"):
        return open_table(table.uri) if until_landed(table.uri, change) else table


def _update(fragment: Any, paths: pa.Array, wanted: pa.Array) -> FragmentUpdate | None:
    """The update that sets new versions in a fragment; None if no row of it needs one."""
    changes = []
    for batch in fragment.to_batches(columns=[schema.SOURCE, schema.SOURCE_VERSION], with_row_address=True):
        version = wanted.take(pc.index_in(batch[schema.SOURCE], value_set=paths))
        is_other = pc.fill_null(pc.not_equal(version, batch[schema.SOURCE_VERSION]), False)
        changes.append(
            pa.table({ROW_ADDRESS: batch[ROW_ADDRESS], schema.SOURCE_VERSION: version}).filter(is_other),
        )
    values = pa.concat_tables(changes) if changes else None
    if values is None or values.num_rows == 0:
        return None
    metadata, fields = fragment.update_columns(values, left_on=ROW_ADDRESS, right_on=ROW_ADDRESS)
    return metadata, fields
