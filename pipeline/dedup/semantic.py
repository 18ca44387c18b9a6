"""Finds images with nearly equal vectors: SemDeDup (arXiv 2303.09540), k-means and then cosines within each cluster.

Vectors are read twice: once to find each vector's cluster, then a few clusters at a time. So memory holds a batch of
vectors, and a few numbers per row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.dedup.compared_rows import ComparedRows, Indices, Order
from pipeline.progress import current
from pipeline.table import ROWS_PER_BATCH
from pipeline.vectors import to_numpy

ROWS_PER_CLUSTER = 2_000
MAX_CLUSTERS = 4_096
ROUNDS = 20
SEED = 0
_SAMPLES_PER_CLUSTER = 64
_PER_BLOCK = 1_024

Vectors = npt.NDArray[np.float32]


def find(order: Order, eps: float) -> Indices:
    """For each row in order: the place of the row kept instead of it, or -1 if the row is kept; int64 [N].

    Rows are visited in order. A row is kept if its cosine with every kept row of its cluster is below 1 - eps. Near
    rows in different clusters are not compared.

    The clusters are computed from all rows, including marked ones. So they are the same when a comparison is repeated,
    or continued after it was stopped.
    """
    kept = np.full(len(order.places), -1, np.int64)
    if len(kept) == order.fixed:
        return kept
    clusters = min(-(-_count_all(order) // ROWS_PER_CLUSTER), MAX_CLUSTERS)
    centres = _k_means(_sample(order, clusters), clusters)
    cluster_of = _clusters(order, centres)
    current.begin("comparing rows", len(kept))
    for members in _by_cluster(cluster_of):
        current.add(len(members))
        _mark(members, _take(order, members), cluster_of[members], order, 1 - eps, kept)
    return kept


def _mark(
    members: Indices, vectors_ND: Vectors, cluster_of: npt.NDArray[np.int32], order: Order, least: float, kept: Indices
) -> None:
    """Fills `kept` for all rows of some clusters. `members` must be ascending within each cluster."""
    for cluster in np.unique(cluster_of):
        inside = np.flatnonzero(cluster_of == cluster)
        _mark_cluster(members[inside], vectors_ND[inside], order, least, kept)


def _mark_cluster(members: Indices, vectors_ND: Vectors, order: Order, least: float, kept: Indices) -> None:
    fixed = int(np.searchsorted(members, order.fixed))
    stays = np.arange(fixed)
    for start in range(fixed, len(members), _PER_BLOCK):
        block = np.arange(start, min(start + _PER_BLOCK, len(members)))
        nearest = _first_near(vectors_ND, stays, block, least)
        kept[members[block]] = np.where(nearest >= 0, members[nearest], -1)
        if order.among_judged:
            left = block[nearest < 0]
            stays = np.concatenate([stays, _mark_block(members, vectors_ND, left, least, kept)])


def _first_near(vectors_ND: Vectors, stays: Indices, block: Indices, least: float) -> Indices:
    """For each row of the block: the first kept row that is near it, or -1."""
    found = np.full(len(block), -1, np.int64)
    for start in range(0, len(stays), _PER_BLOCK):
        some = stays[start : start + _PER_BLOCK]
        near = vectors_ND[block] @ vectors_ND[some].T >= least
        hit = near.any(1) & (found < 0)
        found[hit] = some[near[hit].argmax(1)]
    return found


def _mark_block(members: Indices, vectors_ND: Vectors, left: Indices, least: float, kept: Indices) -> Indices:
    """Chooses the rows to keep among rows that are not near any kept row so far. Marks the others."""
    near = np.triu(vectors_ND[left] @ vectors_ND[left].T >= least, 1)
    is_kept = np.ones(len(left), bool)
    for place in np.flatnonzero(near.any(1)):
        if is_kept[place]:
            marked = near[place] & is_kept
            is_kept[marked] = False
            kept[members[left[marked]]] = members[left[place]]
    return left[is_kept]


def _count_all(order: Order) -> int:
    return sum(len(rows) + rows.marked for rows, _ in order.tables())


def _sample(order: Order, clusters: int) -> Vectors:
    """Vectors of a random sample of all rows, marked or not, float32 [S, D], unit length."""
    count = _count_all(order)
    wanted = min(count, clusters * _SAMPLES_PER_CLUSTER)
    drawn = np.sort(np.random.default_rng(SEED).choice(count, wanted, replace=False))
    samples, start = list[Vectors](), 0
    for rows, _ in order.tables():
        positions = rows.all_positions()
        mine = drawn[(drawn >= start) & (drawn < start + len(positions))] - start
        samples += [_read(rows, positions[mine])] if len(mine) else []
        start += len(positions)
    return np.concatenate(samples)


def _k_means(sample_ND: Vectors, clusters: int) -> Vectors:
    """Spherical k-means: centres of unit length, float32 [K, D]. The centre of an empty cluster does not move."""
    centres = sample_ND[np.random.default_rng(SEED).choice(len(sample_ND), clusters, replace=False)]
    for _ in range(ROUNDS if clusters > 1 else 0):
        nearest = _nearest(sample_ND, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample_ND)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
    return centres


def _nearest(vectors_ND: Vectors, centres: Vectors) -> npt.NDArray[np.int32]:
    blocks = [
        (vectors_ND[start : start + _PER_BLOCK] @ centres.T).argmax(1)
        for start in range(0, len(vectors_ND), _PER_BLOCK)
    ]
    return np.concatenate([np.empty(0, np.int32), *blocks]).astype(np.int32)


def _clusters(order: Order, centres: Vectors) -> npt.NDArray[np.int32]:
    """The cluster of each row in order, int32 [N], from a scan of the vectors."""
    clusters = np.empty(len(order.places), np.int32)
    for rows, places in order.tables():
        found = [
            _nearest(_unit(batch[schema.IMAGE_VECTOR]), centres)
            for batch in rows.table.scan([schema.IMAGE_VECTOR], rows.where)
        ]
        clusters[places] = np.concatenate([np.empty(0, np.int32), *found])[order.places[places]]
    return clusters


def _by_cluster(cluster_of: npt.NDArray[np.int32]) -> Iterator[Indices]:
    """All rows, sorted by cluster and place, several complete clusters at a time.

    Yields as many clusters as fit into a batch, or one larger cluster.
    """
    by_cluster = np.argsort(cluster_of, kind="stable")
    ends = np.flatnonzero(np.diff(cluster_of[by_cluster], append=-1)) + 1
    start = 0
    for position, end in enumerate(ends):
        is_last = position + 1 == len(ends)
        if is_last or ends[position + 1] - start > ROWS_PER_BATCH:
            yield by_cluster[start:end]
            start = int(end)


def _take(order: Order, at: Indices) -> Vectors:
    """The vectors of the rows at these places in order, float32 [N, D], unit length."""
    found = np.empty((len(at), order.rows.table.dimension), np.float32)
    for rows, places in order.tables():
        mine = np.flatnonzero(np.isin(at, places, assume_unique=True))
        if len(mine):
            positions = rows.positions[order.places[at[mine]]]
            rising = np.argsort(positions)
            found[mine[rising]] = _read(rows, positions[rising])
    return found


def _read(rows: ComparedRows, positions: npt.NDArray[np.intp]) -> Vectors:
    taken = rows.table.take(positions.tolist(), [schema.IMAGE_VECTOR])[schema.IMAGE_VECTOR]
    return _unit(taken.combine_chunks())


def _unit(column: pa.FixedSizeListArray) -> Vectors:
    values = to_numpy(column).astype(np.float32)
    unit: Vectors = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit
