"""Reads the rows near a query, and orders them by the exact cosine of their stored vectors; ties by uid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.search.access import Access
from pipeline.search.terms import Modality
from pipeline.table import Table
from pipeline.vectors import to_numpy
from siglip_core import similarity

# The rounding of sums over D numbers in float32.
_ROUNDING_OF_SUMS = 1e-5

ROWS_AT_ONCE = 65_536
"""that several queries find together"""

OF_EVERY_HIT = (schema.UID, schema.KEY, schema.CAPTION, schema.SOURCE)


@dataclass(frozen=True)
class Wanted:
    """Which hits a search gives. Made by `Search`, which checks the values."""

    k: int
    offset: int
    """so many of the best are left out"""
    where: str | None
    columns: Sequence[str]
    """further columns of each hit"""
    distinct: Literal["image"] | None
    """image: one hit for each photo; None: one for each row"""
    min_probability: float | None
    against: Modality
    """which vectors of the rows are compared with the query"""
    exact: bool = False
    """compare the query with all vectors, also where there is an index"""
    words: str | None = None
    """the caption of each hit has all these words"""

    @property
    def vector_column(self) -> str:
        return schema.IMAGE_VECTOR if self.against == "image" else schema.TEXT_VECTOR

    @property
    def needed(self) -> int:
        """How many hits have to be found, those that are left out included."""
        return self.offset + self.k


@dataclass(frozen=True)
class Sought:
    """One query."""

    vector: npt.NDArray[np.float32]
    """[D], of unit length"""
    modality: Modality | None
    """None for a mixture"""

    def has_logits(self, wanted: Wanted) -> bool:
        """Whether its cosines have a logit: the sigmoid's scale and bias were learned between images and texts."""
        return self.modality not in (None, wanted.against)


@dataclass(frozen=True)
class Fetched:
    """Rows near a query, best first by (cosine, uid)."""

    rows: pa.Table
    cosines: npt.NDArray[np.float32]
    """[N], of the rows"""
    beyond: float
    """the largest cosine that another row can have, if the search was exact; -inf if there is no other row"""


def fetch(
    searched: Table, queries: Sequence[Sought], wanted: Wanted, count: int, access: Access | None
) -> list[Fetched]:
    """The `count` rows nearest to each query. All vectors are read once for all queries."""
    query_QD = np.stack([query.vector for query in queries])
    columns = columns_of_hits(searched, wanted)
    batches = table.nearest(
        searched,
        wanted.vector_column,
        query_QD,
        count,
        list(dict.fromkeys([*columns, wanted.vector_column])),
        wanted.where,
        wanted.words,
        None if access is None else access.through,
    )
    parts, cosines, asked = list[pa.RecordBatch](), [np.empty(0, np.float32)], [np.empty(0, np.int32)]
    farthest_Q, rounding = np.full(len(queries), -np.inf), 0.0
    for batch in batches:
        of_row_N = np.zeros(len(batch), np.int32) if len(queries) == 1 else batch[table.QUERY].to_numpy()
        vector_ND = to_numpy(batch[wanted.vector_column])
        # Row by row: a product of matrices may round equal rows differently, and they would be no ties.
        cosines.append(similarity.cosine(query_QD[of_row_N], vector_ND))
        asked.append(of_row_N)
        parts.append(batch.select(columns))
        np.maximum.at(farthest_Q, of_row_N, batch[table.DISTANCE].to_numpy())
        rounding = float(np.finfo(vector_ND.dtype).eps) / 2 + _ROUNDING_OF_SUMS
    rows = pa.Table.from_batches(parts) if parts else searched.schema.empty_table().select(columns)
    of_row_N, cosine_N = np.concatenate(asked), np.concatenate(cosines)
    order_N = _order(rows, cosine_N, of_row_N)
    rows, cosine_N = rows.take(order_N), cosine_N[order_N]
    ends_Q = np.cumsum(np.bincount(of_row_N, minlength=len(queries)))
    found = []
    for query_D, start, end, farthest in zip(query_QD, [0, *ends_Q[:-1]], ends_Q, farthest_Q, strict=True):
        is_all = end - start < count
        beyond = -np.inf if is_all else (1 - farthest) / float(np.linalg.norm(query_D)) + rounding
        found.append(Fetched(rows.slice(start, end - start), cosine_N[start:end], beyond))
    return found


def fetch_by_words(
    searched: Table, words: str, query: Sought, wanted: Wanted, count: int
) -> tuple[Fetched, npt.NDArray[np.float32]]:
    """The rows whose captions match any of the words best, and how well they match, [N]."""
    columns = columns_of_hits(searched, wanted)
    read = list(dict.fromkeys([*columns, wanted.vector_column]))
    rows = table.best_by_words(searched, words, count, read, wanted.where)
    rows = rows.filter(pc.is_valid(rows[wanted.vector_column])).combine_chunks()
    vectors = rows[wanted.vector_column].combine_chunks()
    vector_ND = to_numpy(vectors)
    cosine_N = similarity.cosine(np.broadcast_to(query.vector, vector_ND.shape), vector_ND)
    order_N = _order(rows, cosine_N, np.zeros(len(rows), np.int32))
    score_N = rows[table.SCORE].to_numpy()
    return Fetched(rows.select(columns).take(order_N), cosine_N[order_N], -np.inf), score_N[order_N]


def in_groups(queries: Sequence[int], count: int, searched: Table) -> Iterator[Sequence[int]]:
    """Numbers of queries, as many at once as may find `count` rows each."""
    most = max(1, ROWS_AT_ONCE // count)
    if table.QUERY in searched.schema.names:  # Lance then takes one query at a time
        most = 1
    yield from (queries[start : start + most] for start in range(0, len(queries), most))


def columns_of_hits(searched: Table, wanted: Wanted) -> list[str]:
    """What is read of each row, beside its vector."""
    return list(dict.fromkeys([*OF_EVERY_HIT, *_identity_columns(searched), *wanted.columns]))


def photos_of(rows: pa.Table) -> list[str]:
    """What rows with the same image have in common, for each row."""
    names = [name for name in (schema.IMAGE_SHA256, schema.IMAGE_IDENTITY) if name in rows.column_names]
    photos: list[str] = pc.coalesce(*(rows[name] for name in (*names, schema.UID))).to_pylist()
    return photos


def _identity_columns(searched: Table) -> Iterator[str]:
    """The columns that tell which rows have the same image; the first that is not null does."""
    yield schema.IMAGE_SHA256
    if schema.IMAGE_IDENTITY in searched.schema.names:  # given with an import
        yield schema.IMAGE_IDENTITY


def _order(rows: pa.Table, cosine_N: npt.NDArray[np.float32], query_N: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    order: npt.NDArray[np.intp] = pc.sort_indices(
        pa.table({"query": query_N, "cosine": cosine_N, schema.UID: rows[schema.UID]}),
        sort_keys=[("query", "ascending"), ("cosine", "descending"), (schema.UID, "ascending")],
    ).to_numpy()
    return order
