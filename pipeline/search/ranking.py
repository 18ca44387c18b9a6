"""Ranks a table's rows or photos by the exact cosine of their stored vectors with queries; ties by uid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.search.access import Access, Snapshot
from pipeline.search.fetching import Fetched, Sought, Wanted, fetch, in_groups, photos_of
from pipeline.search.hits import Hit, Hits
from pipeline.table import Table
from siglip_core import similarity

# Lance ranks by the dot product of stored vectors, whose length float16 rounding moves slightly from 1. So a few more
# rows than needed are fetched, and more still while a row beyond them may belong among the best.
MARGIN = 64


def best(snapshot: Snapshot, queries: Sequence[Sought], wanted: Wanted) -> list[Hits]:
    """The hits of each query."""
    found: dict[int, Hits] = {}
    by_access: dict[Access | None, list[int]] = {}
    for number, query in enumerate(queries):
        by_access.setdefault(access_for(snapshot, query, wanted), []).append(number)
    for access, numbers in by_access.items():
        count = rows_to_fetch(wanted.needed, access)
        left: Sequence[int] = numbers
        while left:
            for together in in_groups(left, count, snapshot.table):
                each = fetch(snapshot.table, [queries[number] for number in together], wanted, count, access)
                for number, fetched in zip(together, each, strict=True):
                    groups = _best_groups(fetched, wanted, count, access)
                    if groups is not None:
                        found[number] = to_hits(snapshot.table, fetched, groups, queries[number], wanted)
            left, count = [number for number in left if number not in found], count * 4
    return [found[number] for number in range(len(queries))]


def access_for(snapshot: Snapshot, query: Sought, wanted: Wanted) -> Access | None:
    """The index that a query goes through; None if it is compared with all vectors."""
    if wanted.exact or wanted.words is not None:  # the rows with those words are looked up, and compared exactly
        return None
    return snapshot.access(wanted.vector_column, query.modality, wanted.needed, wanted.where)


def rows_to_fetch(hits: int, access: Access | None) -> int:
    """How many rows are fetched first, for so many hits."""
    return hits + MARGIN + hits // 8 if access is None else access.candidates(hits)


def to_hits(searched: Table, fetched: Fetched, groups: Sequence[Sequence[int]], query: Sought, wanted: Wanted) -> Hits:
    """The hits that are asked for; `groups`: places of the rows of each hit in `fetched`, best first, from the first
    hit on."""
    chosen = groups[wanted.offset : wanted.needed]
    hits = Hits(_hit(searched, fetched, group, wanted, query.has_logits(wanted)) for group in chosen)
    if wanted.min_probability is not None:
        return Hits(hit for hit in hits if (hit.probability or 0) >= wanted.min_probability)
    return hits


def _best_groups(fetched: Fetched, wanted: Wanted, count: int, access: Access | None) -> list[list[int]] | None:
    """The rows of each hit; None if more than `count` rows have to be fetched to be sure of them."""
    is_all = fetched.rows.num_rows < count
    if access is None:
        groups = list(_groups(fetched, wanted, wanted.needed))
        if is_all or (len(groups) >= wanted.needed and fetched.cosines[groups[wanted.needed - 1][0]] > fetched.beyond):
            return groups
        return None
    # An index orders rows roughly, so the best hits are chosen from more candidates.
    candidates = access.candidates(wanted.needed)
    groups = list(_groups(fetched, wanted, candidates))
    return groups if is_all or len(groups) >= candidates else None


def _groups(fetched: Fetched, wanted: Wanted, most: int) -> Iterator[list[int]]:
    """Places in `fetched.rows` of the rows of each hit, best first; at most `most` hits. Without `distinct`, each row
    is a hit."""
    if wanted.distinct is None:
        yield from ([place] for place in range(min(most, fetched.rows.num_rows)))
        return
    groups: dict[str, list[int]] = {}
    for place, photo in enumerate(photos_of(fetched.rows)):
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
