"""Draws pairs from a table, with the vectors and ids that shuffles need."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.filtering.estimate.shuffles import Pairs
from pipeline.table import Table
from pipeline.vectors import to_numpy

MOST = 50_000
"""the most pairs for an estimate: more would improve it by at most a tenth of a percentage point, and need memory"""


def draw(table: Table, addresses: npt.NDArray[np.uint64], seed: int) -> Pairs:
    """Draws at random at most `MOST` of the scored rows at these addresses."""
    if len(addresses) > MOST:
        addresses = np.random.default_rng(seed).choice(addresses, MOST, replace=False)
    columns = [schema.IMAGE_VECTOR, schema.TEXT_VECTOR, schema.IMAGE_SHA256, schema.CAPTION, schema.UID]
    rows = table.take(table.positions(addresses).tolist(), columns).combine_chunks()
    return Pairs(
        to_numpy(_one_array(rows[schema.IMAGE_VECTOR])),
        to_numpy(_one_array(rows[schema.TEXT_VECTOR])),
        # An image without a known hash counts as different from all others.
        _ids(pc.coalesce(rows[schema.IMAGE_SHA256], rows[schema.UID])),
        _ids(rows[schema.CAPTION].fill_null("")),
    )


def _one_array(column: pa.ChunkedArray) -> pa.FixedSizeListArray:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _ids(values: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    ids: npt.NDArray[np.int64] = values.dictionary_encode().combine_chunks().indices.to_numpy().astype(np.int64)
    return ids
