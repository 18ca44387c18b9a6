"""Ranks a table's rows or photos by the exact cosine of their stored vectors with a query; ties by uid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.search.hits import Hit, Hits
from pipeline.search.terms import Modality
from pipeline.table import Table
from pipeline.vectors import to_numpy
from siglip_core import similarity

# Lance ranks by the dot product of stored vectors, whose length float16 rounding moves slightly from 1. So a few more
# rows than needed are fetched, and more still while a row beyond them may belong among the best.
MARGIN = 64
# The same with float32, whose sums over D numbers are rounded too.
_ROUNDING_OF_SUMS = 1e-5

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


@dataclass(frozen=True)
class Fetched:
    """The rows with the largest dot products with the query, best first by (cosine, uid)."""

    rows: pa.Table
    cosines: npt.NDArray[np.float32]
    """[N], of the rows"""
    beyond: float
    """the largest cosine that another row can have; -inf if there is no other"""


def best(searched: Table, query_D: npt.NDArray[np.float32], wanted: Wanted, has_logits: bool) -> Hits:
    """The hits for a query of any length, [D]."""
    needed = wanted.offset + wanted.k
    count = needed + MARGIN + needed // 8
    while True:
        fetched = _fetch(searched, query_D, wanted, count)
        groups = list(_groups(fetched, wanted, needed))
        if len(groups) >= needed and fetched.cosines[groups[needed - 1][0]] > fetched.beyond:
            break
        if fetched.beyond == -np.inf:
            break
        count *= 4
    chosen = groups[wanted.offset : needed]
    hits = Hits(_hit(searched, fetched, group, wanted, has_logits) for group in chosen)
    if wanted.min_probability is not None:
        return Hits(hit for hit in hits if (hit.probability or 0) >= wanted.min_probability)
    return hits


def _fetch(searched: Table, query_D: npt.NDArray[np.float32], wanted: Wanted, count: int) -> Fetched:
    column = schema.IMAGE_VECTOR if wanted.against == "image" else schema.TEXT_VECTOR
    columns = list(dict.fromkeys([*OF_EVERY_HIT, *_identity_columns(searched), *wanted.columns]))
    parts, cosines, last_dot, rounding = list[pa.RecordBatch](), [np.empty(0, np.float32)], 0.0, 0.0
    for batch in searched.nearest(column, query_D, count, list(dict.fromkeys([*columns, column])), wanted.where):
        vector_ND = to_numpy(batch[column])
        # Row by row: a product of matrices may round equal rows differently, and they would be no ties.
        cosines.append(similarity.cosine(np.broadcast_to(query_D, vector_ND.shape), vector_ND))
        parts.append(batch.select(columns))
        last_dot = 1 - float(batch[table.DISTANCE][-1].as_py())
        rounding = float(np.finfo(vector_ND.dtype).eps) / 2 + _ROUNDING_OF_SUMS
    rows = pa.Table.from_batches(parts) if parts else searched.schema.empty_table().select(columns)
    cosine_N = np.concatenate(cosines)
    longest = float(np.linalg.norm(query_D))
    order = pc.sort_indices(
        pa.table({"cosine": cosine_N, schema.UID: rows[schema.UID]}),
        sort_keys=[("cosine", "descending"), (schema.UID, "ascending")],
    )
    beyond = last_dot / longest + rounding if rows.num_rows == count else -np.inf
    return Fetched(rows.take(order), cosine_N[order.to_numpy()], beyond)


def _identity_columns(searched: Table) -> Iterator[str]:
    """The columns that tell which rows have the same image; the first that is not null does."""
    yield schema.IMAGE_SHA256
    if schema.IMAGE_IDENTITY in searched.schema.names:  # given with an import
        yield schema.IMAGE_IDENTITY


def _groups(fetched: Fetched, wanted: Wanted, most: int) -> Iterator[list[int]]:
    """Places in `fetched.rows` of the rows of each hit, best first; at most `most` hits. Without `distinct`, each row
    is a hit."""
    if wanted.distinct is None:
        yield from ([place] for place in range(min(most, fetched.rows.num_rows)))
        return
    names = [name for name in (schema.IMAGE_SHA256, schema.IMAGE_IDENTITY) if name in fetched.rows.column_names]
    photos = pc.coalesce(*(fetched.rows[name] for name in (*names, schema.UID)))
    groups: dict[str, list[int]] = {}
    for place, photo in enumerate(photos.to_pylist()):
        if photo in groups:
            groups[photo].append(place)
        elif len(groups) < most:
            groups[photo] = [place]
    yield from groups.values()


def _hit(searched: Table, fetched: Fetched, group: Sequence[int], wanted: Wanted, has_logits: bool) -> Hit:
    row: dict[str, Any]
    row, *_ = fetched.rows.slice(group[0], 1).to_pylist()
    cosine = float(fetched.cosines[group[0]])
    identity = searched.identity
    logit = similarity.logit(np.array(cosine), identity.logit_scale, identity.logit_bias)
    captions = fetched.rows[schema.CAPTION].take(pa.array(group)).to_pylist()
    return Hit(
        uid=row[schema.UID],
        cosine=cosine,
        logit=float(logit) if has_logits else None,
        probability=float(similarity.probability(logit)) if has_logits else None,
        caption=row[schema.CAPTION],
        source=row[schema.SOURCE],
        key=row[schema.KEY],
        captions=tuple(dict.fromkeys(caption for caption in captions if caption is not None)),
        columns={name: row[name] for name in wanted.columns},
    )
