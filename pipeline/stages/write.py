"""Rows of the table -> fragment files, staged for the committer. No other stage has a side effect."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.stages import photos
from pipeline.storage import retries
from pipeline.table import TableUri

STAGED = "staged"
"""the only column of this stage's output: a pickled `pipeline.table.Staged`"""


@dataclass(frozen=True)
class WriteFragments:
    """Callable on rows in the table's schema with the column `photos.RETRIES`. Returns one row per staged fragment: a
    pickled `Staged` for the committer."""

    uri: TableUri
    table_schema: pa.Schema
    replaced: frozenset[str] = frozenset()
    """sources whose rows replace existing ones; they are written separately, as they are committed only if complete"""

    def __call__(self, rows: pa.Table) -> pa.Table:
        counted = Counter(pc.list_flatten(rows[photos.RETRIES]).to_pylist()) + retries.take()
        rows = rows.select(self.table_schema.names).cast(self.table_schema)
        if not self.replaced:
            staged = [table.stage(self.uri, rows)]
        else:
            replaces = pc.is_in(rows[schema.SOURCE], value_set=pa.array(self.replaced, pa.string()))
            parts = ((rows.filter(pc.invert(replaces)), False), (rows.filter(replaces), True))
            staged = [table.stage(self.uri, part, by_source) for part, by_source in parts if part.num_rows]
        staged[0] = replace(staged[0], retries=dict(counted))
        return pa.table({STAGED: pa.array([pickle.dumps(item) for item in staged], pa.binary())})
