"""Measures an index on the table's own rows, and chooses how it has to be asked."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, table
from pipeline.table import Asked, Table, Through, VectorIndex
from pipeline.vectors import to_numpy

Floats = npt.NDArray[np.float32]

QUERIES = 200
"""of each kind"""
DEPTHS = (10, 100)
"""numbers of hits that recall is measured for"""
REFINES = (1, 2, 3, 5, 10, 20)
PROBES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
AT_ONCE = 50
"""queries that are searched for together"""
FOR_TIES = 100
"""further rows, because some may be as near as the last of the true neighbours"""
ROUNDING = 1e-6
"""of distances"""
ONE_SIDED = 2.33
"""standard errors: with 99 % confidence, the recall of all queries is above that of the sample less so many. The way
that is chosen is the cheapest of many, so it is also one of the luckier ones."""
SECONDS_PER_ROW = 15e-9
SECONDS_PER_CANDIDATE = 60e-6
"""of a row of a partition, and of a candidate, with one million rows of D = 768. Only their ratio counts."""
TIMINGS = 5


@dataclass(frozen=True)
class Sample:
    """Vectors of the table that serve as queries."""

    queries: Mapping[str, Floats]
    """by their kind ("image" or "text"), [Q, D] of unit length; a kind that the table lacks is missing"""
    own: Mapping[str, list[int]]
    """the rows that they come from, by Lance's id of the row"""


def draw(searched: Table, seed: int = 0) -> Sample:
    """Draws images and captions of random rows. Each kind may have fewer than `QUERIES`."""
    queries, own = {}, {}
    for kind, column in (("image", schema.IMAGE_VECTOR), ("text", schema.TEXT_VECTOR)):
        rows = _random_rows(searched, column, np.random.default_rng(seed))
        if len(rows):
            vector_ND = to_numpy(rows[column].combine_chunks()).astype(np.float32)
            queries[kind] = vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)
            own[kind] = rows[table.ROW_ID].to_pylist()
    return Sample(queries, own)


def _random_rows(searched: Table, column: str, random: np.random.Generator) -> pa.Table:
    """At most `QUERIES` random rows that have a vector in this column."""
    total = searched.count()
    places = random.choice(total, min(total, 4 * QUERIES), replace=False)
    rows = searched.take(np.sort(places).tolist(), [column, table.ROW_ID])
    rows = rows.filter(pc.is_valid(rows[column]))
    if len(rows) < QUERIES and len(places) < total:  # few rows have one, so they are looked for
        batches = searched.scan([], f"{column} IS NOT NULL", addresses=True)
        found = [batch[table.ROW_ADDRESS].to_numpy() for batch in batches]
        addresses = np.concatenate([np.empty(0, np.uint64), *found])
        some = random.choice(addresses, min(len(addresses), QUERIES), replace=False)
        rows = searched.take(np.sort(searched.positions(some)).tolist(), [column, table.ROW_ID])
    return rows.take(random.permutation(len(rows))[:QUERIES])


def seconds_of_exact(searched: Table, column: str, query_QD: Floats) -> float:
    """How long an exact search for ten hits takes: the median of some, after one that is not counted."""
    seconds = []
    for number in range(TIMINGS + 1):
        start = time.perf_counter()
        list(table.nearest(searched, column, query_QD[number % len(query_QD)][None], 10, [schema.UID]))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def choose(
    searched: Table, column: str, index: VectorIndex, sample: Sample, wanted_recall: float
) -> dict[str, dict[int, Asked]]:
    """How the index has to be asked by queries of each kind, for each number of hits: the cheapest way that reaches
    the recall, or the one with the highest recall."""
    partitions = table.partitions(searched, index)
    seconds_per_probe = searched.count() / partitions * SECONDS_PER_ROW
    chosen: dict[str, dict[int, Asked]] = {}
    for kind, query_QD in sample.queries.items():
        near = _neighbours(searched, column, query_QD, max(DEPTHS) + FOR_TIES, None, sample.own[kind])
        truth = {depth: [_true(rows, depth) for rows in near] for depth in DEPTHS}
        best: dict[int, tuple[float, Asked]] = {}
        for probes in [*(number for number in PROBES if number < partitions), partitions]:
            probing = probes * seconds_per_probe
            if all(depth in best and best[depth][1].reached and best[depth][0] <= probing for depth in DEPTHS):
                break
            through = Through(index, probes, no_more=True)  # though more candidates are asked for than in searches
            near = _neighbours(searched, column, query_QD, max(REFINES) * max(DEPTHS) + 1, through, sample.own[kind])
            for depth in DEPTHS:
                for refine in REFINES:
                    way = _judge(probes, refine, depth, truth[depth], near, wanted_recall)
                    costed = probing + refine * depth * SECONDS_PER_CANDIDATE, way
                    best[depth] = min(best.get(depth, costed), costed, key=_preference)
        chosen[kind] = {depth: way for depth, (_, way) in best.items()}
    return chosen


def _preference(costed: tuple[float, Asked]) -> tuple[float, ...]:
    cost, way = costed
    return (0, cost) if way.reached else (1, -way.recall, cost)


def _true(near: Sequence[tuple[float, int]], depth: int) -> set[int]:
    """The true neighbours: the nearest `depth` rows, and others that are as near."""
    if not near:
        return set()
    farthest = near[min(depth, len(near)) - 1][0] + ROUNDING
    return {row for distance, row in near if distance <= farthest}


def _judge(
    probes: int,
    refine: int,
    depth: int,
    truth: Sequence[set[int]],
    near: Sequence[Sequence[tuple[float, int]]],
    wanted: float,
) -> Asked:
    """What is found if the best `refine * depth` candidates of the index are compared exactly."""
    shares = [
        min(1.0, len(true.intersection(row for _, row in rows[: refine * depth])) / min(depth, len(true)))
        for true, rows in zip(truth, near, strict=True)
        if true
    ]
    recall = statistics.fmean(shares) if shares else 1.0
    error = statistics.stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
    return Asked(probes, refine, round(recall, 4), recall - ONE_SIDED * error >= wanted)


def _neighbours(
    searched: Table, column: str, query_QD: Floats, count: int, through: Through | None, own: Sequence[int]
) -> list[list[tuple[float, int]]]:
    """(distance, row id) of the rows nearest to each query, nearest first, without the row that it comes from."""
    found = list[list[tuple[float, int]]]()
    for start in range(0, len(query_QD), AT_ONCE):
        together = query_QD[start : start + AT_ONCE]
        near: list[list[tuple[float, int]]] = [[] for _ in together]
        for batch in table.nearest(searched, column, together, count, [table.ROW_ID], through=through):
            queries = [0] * len(batch) if len(together) == 1 else batch[table.QUERY].to_pylist()
            distances, rows = batch[table.DISTANCE].to_pylist(), batch[table.ROW_ID].to_pylist()
            for query, distance, row in zip(queries, distances, rows, strict=True):
                near[query].append((distance, row))
        itself = own[start : start + AT_ONCE]
        found += [[pair for pair in sorted(rows) if pair[1] != own] for rows, own in zip(near, itself, strict=True)]
    return found
