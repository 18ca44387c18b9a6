"""Rows of the table -> fragment files, staged for the committer. The only side effect of any stage."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import table
from pipeline.stages import photos
from pipeline.storage import retries
from pipeline.table import TableUri

STAGED = "staged"
"""the only column of this stage's output: a pickled `pipeline.table.Staged`"""


@dataclass(frozen=True)
class WriteFragments:
    """Callable on rows in the table's schema, with `photos.RETRIES`; gives one row that tells the committer of them."""

    uri: TableUri
    table_schema: pa.Schema

    def __call__(self, rows: pa.Table) -> pa.Table:
        staged = table.stage(self.uri, rows.select(self.table_schema.names).cast(self.table_schema))
        counted = Counter(pc.list_flatten(rows[photos.RETRIES]).to_pylist()) + retries.take()
        staged = replace(staged, retries=dict(counted))
        return pa.table({STAGED: pa.array([pickle.dumps(staged)], pa.binary())})
