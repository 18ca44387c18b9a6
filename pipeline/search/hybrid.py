"""Ranks by the vectors and by the words of captions at once: by reciprocal rank, as LanceDB's `RRFReranker` does."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.search.access import Snapshot
from pipeline.search.fetching import Fetched, Sought, Wanted, fetch, fetch_by_words, photos_of
from pipeline.search.hits import Hits
from pipeline.search.ranking import access_for, rows_to_fetch, to_hits

RANK_OF_HALF = 60
"""A hit adds 1 / (60 + its rank) for each list that it is in (Cormack et al., SIGIR 2009)."""
LEAST = 100
"""rows of each list"""


def best(snapshot: Snapshot, query: Sought, words: str, wanted: Wanted) -> Hits:
    """The hits that stand high among the nearest vectors, among the best matches of the words, or in both lists."""
    depth = max(LEAST, 2 * wanted.needed)
    access = access_for(snapshot, query.modality, wanted)
    (near,) = fetch(snapshot.table, [query], wanted, rows_to_fetch(depth, access), access)
    near = Fetched(near.rows.slice(0, depth), near.cosines[:depth], near.beyond)
    matching, score_N = fetch_by_words(snapshot.table, words, query, wanted, depth)
    photo_of = (lambda rows: rows[schema.UID].to_pylist()) if wanted.distinct is None else photos_of
    by_score = [photo_of(matching.rows)[place] for place in np.argsort(-score_N, kind="stable")]
    scores: dict[str, float] = defaultdict(float)
    for listed in (photo_of(near.rows), by_score):
        for rank, photo in enumerate(dict.fromkeys(listed), 1):
            scores[photo] += 1 / (RANK_OF_HALF + rank)
    both = _united(near, matching)
    groups: dict[str, list[int]] = defaultdict(list)
    for place, photo in enumerate(photo_of(both.rows)):
        groups[photo].append(place)
    first = both.rows[schema.UID].to_pylist()
    ranked = sorted(groups, key=lambda photo: (-scores[photo], first[groups[photo][0]]))
    return to_hits(snapshot.table, both, [groups[photo] for photo in ranked], query, wanted)


def _united(near: Fetched, matching: Fetched) -> Fetched:
    """The rows of both, each once."""
    is_new = pc.invert(pc.is_in(matching.rows[schema.UID], near.rows[schema.UID].combine_chunks()))
    rows = pa.concat_tables([near.rows, matching.rows.filter(is_new)])
    return Fetched(rows, np.concatenate([near.cosines, matching.cosines[is_new.to_numpy()]]), -np.inf)
