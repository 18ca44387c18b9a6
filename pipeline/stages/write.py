"""Rows of the table -> fragment files, staged for the committer. The only side effect of any stage."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import pyarrow as pa

from pipeline import table
from pipeline.table import TableUri

STAGED = "staged"
"""the only column of this stage's output: a pickled `pipeline.table.Staged`"""


@dataclass(frozen=True)
class WriteFragments:
    """Callable on rows in the table's schema; gives one row that tells the committer where they lie."""

    uri: TableUri
    table_schema: pa.Schema

    def __call__(self, rows: pa.Table) -> pa.Table:
        staged = table.stage(self.uri, rows.cast(self.table_schema))
        return pa.table({STAGED: pa.array([pickle.dumps(staged)], pa.binary())})
