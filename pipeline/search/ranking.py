"""Ranks a table's rows or photos by the exact cosine of their stored vectors with queries; ties by uid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline import schema
from pipeline.search.access import Access, Snapshot
from pipeline.search.fetching import Fetched, Sought, Wanted, fetch, in_groups, photos_of
from pipeline.search.hits import Hit, Hits
from pipeline.search.terms import Modality
from pipeline.table import Table
from siglip_core import similarity

# Lance ranks by the dot product of stored vectors, whose length float16 rounding moves slightly from 1. So a few more
# rows than needed are fetched, and more still while a row beyond them may belong among the best.
MARGIN = 64


def best(snapshot: Snapshot, queries: Sequence[Sought], wanted: Wanted) -> list[Hits]:
    """The hits of each query."""
    found: dict[int, Hits] = {}
    by_access: dict[Access | None, list[int]] = {}
    modalities = {query.modality for query in queries}
    accesses = {modality: access_for(snapshot, modality, wanted) for modality in modalities}
    for number, query in enumerate(queries):
        by_access.setdefault(accesses[query.modality], []).append(number)
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


def access_for(snapshot: Snapshot, modality: Modality | None, wanted: Wanted) -> Access | None:
    """The index that a query of this kind goes through; None if it is compared with all vectors."""
    if wanted.exact or wanted.words is not None:  # the rows with those words are looked up, and compared exactly
        return None
    return snapshot.access(wanted.vector_column, modality, wanted.needed, wanted.where)


def rows_to_fetch(hits: int, access: Access | None) -> int:
    """How many rows are fetched first, for so many hits."""
    return hits + MARGIN + hits // 8 if access is None else access.candidates(hits)


def to_hits(searched: Table, fetched: Fetched, groups: Sequence[Sequence[int]], query: Sought, wanted: Wanted) -> Hits:
    """The hits that are asked for; `groups`: places of the rows of each hit in `fetched`, best first, from the first
    hit on."""
    chosen = groups[wanted.offset : wanted.needed]
    places = [group[0] for group in chosen]
    rows: list[dict[str, Any]] = fetched.rows.take(pa.array(places, pa.int64())).to_pylist()
    cosine_K, identity = fetched.cosines[places], searched.identity
    logit_K = similarity.logit(cosine_K, identity.logit_scale, identity.logit_bias)
    scores = zip(cosine_K.tolist(), logit_K.tolist(), similarity.probability(logit_K).tolist(), strict=True)
    captions = fetched.rows[schema.CAPTION].to_pylist()
    has_logits = query.has_logits(wanted)
    hits = (
        Hit(
            uid=row[schema.UID],
            cosine=cosine,
            logit=logit if has_logits else None,
            probability=probability if has_logits else None,
            caption=row[schema.CAPTION],
            source=row[schema.SOURCE],
            key=row[schema.KEY],
            captions=tuple(dict.fromkeys(captions[place] for place in group if captions[place] is not None)),
            columns={name: row[name] for name in wanted.columns},
        )
        for row, group, (cosine, logit, probability) in zip(rows, chosen, scores, strict=True)
    )
    least = wanted.min_probability
    likely = (hit for hit in hits if least is None or (hit.probability or 0) >= least)
    return Hits(likely, [searched.schema.field(name) for name in wanted.columns])


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
