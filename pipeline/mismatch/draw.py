"""Draws pairs from a table, with all that an estimate needs of them."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.mismatch import normalised
from pipeline.mismatch.pairs import Pairs
from pipeline.table import Table
from pipeline.vectors import Vectors, to_numpy

MOST = 50_000
"""the most pairs for an estimate: more would improve it by at most a tenth of a percentage point, and need memory"""

SCORES = (*schema.SCORES, normalised.COLUMN)
"""scores that decoys can have too"""


def draw(table: Table, addresses: npt.NDArray[np.uint64], seed: int, by: str = schema.COSINE) -> Pairs:
    """Draws at random at most `MOST` of the scored rows at these addresses, fewer for a score that costs more.

    Args:
        by: one of `SCORES`. Logits and probabilities rank pairs as cosines do: their pairs have cosines as scores.
    """
    assert by in SCORES
    most = normalised.MOST if by == normalised.COLUMN else MOST
    if len(addresses) > most:
        addresses = np.random.default_rng(seed).choice(addresses, most, replace=False)
    columns = [schema.UID, schema.IMAGE_VECTOR, schema.TEXT_VECTOR, schema.IMAGE_SHA256, schema.CAPTION]
    has_identity = schema.IMAGE_IDENTITY in table.schema.names  # given with an import
    columns += [schema.IMAGE_IDENTITY] if has_identity else []
    columns += [by] if by == normalised.COLUMN else []
    rows = table.take(table.positions(addresses).tolist(), columns).combine_chunks()
    images, texts = (to_numpy(_one_array(rows[name])) for name in (schema.IMAGE_VECTOR, schema.TEXT_VECTOR))
    return Pairs(
        images,
        texts,
        _ids(_identities(rows, has_identity), images),
        _ids(rows[schema.CAPTION], texts),
        _normalised(table, rows, images, texts) if by == normalised.COLUMN else None,
    )


def _normalised(table: Table, rows: pa.Table, images: Vectors, texts: Vectors) -> normalised.NormalisedScores:
    own = rows[normalised.COLUMN].to_numpy()
    return normalised.of_pairs(table, rows, images, texts, own)


def _one_array(column: pa.ChunkedArray) -> pa.FixedSizeListArray:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _identities(rows: pa.Table, has_identity: bool) -> pa.ChunkedArray:
    hashes = rows[schema.IMAGE_SHA256]
    return pc.coalesce(rows[schema.IMAGE_IDENTITY], hashes) if has_identity else hashes


def _ids(values: pa.ChunkedArray, vectors: Vectors) -> npt.NDArray[np.int64]:
    """Numbers that are equal for equal values. Where there is no value, an equal vector is the same."""
    known = values.to_pylist()
    names = [
        name or blake2b(vector.tobytes(), digest_size=16).digest() for name, vector in zip(known, vectors, strict=True)
    ]
    numbers: dict[str | bytes, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
