"""Makes decoys: pairs that are certainly mismatched, because their captions are dealt to other images.

A caption is never dealt to its own or an equal image, to the image of an equal caption, or to a near copy of its image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.mismatch.pairs import Pairs, Rows, Scores
from siglip_core import similarity

LEAST_DEALS, DECOYS = 4, 200_000
"""Each caption is dealt at least so often, and more often where there would be fewer decoys."""
NEAR_COPY = 0.99
"""Images with this cosine or more count as copies of each other."""
QUERIES, AMONG = 4_000, 20_000
"""Near images are searched for so many images, among so many: the cost is their product."""
NEIGHBOURS = (1, 5, 10)
"""A wrong caption may be that of the most similar image, or of one of so many most similar ones."""

_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Decoys:
    """M decoys: their scores, and the rows that their images and captions are from, [M] each."""

    scores: Scores
    images: Rows
    captions: Rows

    def __len__(self) -> int:
        return len(self.scores)


def dealt_at_random(pairs: Pairs, rng: np.random.Generator) -> Decoys:
    """Deals each caption to random images."""
    deals = max(LEAST_DEALS, -(-DECOYS // max(1, len(pairs))))
    images, captions = np.tile(np.arange(len(pairs)), deals), _permutations(len(pairs), deals, rng)
    others = (pairs.images[images] != pairs.images[captions]) & (pairs.captions[images] != pairs.captions[captions])
    images, captions = images[others], captions[others]
    apart = pairs.likeness(images, captions) < NEAR_COPY
    images, captions = images[apart], captions[apart]
    return Decoys(pairs.decoys(images, captions), images, captions)


def _permutations(count: int, deals: int, rng: np.random.Generator) -> Rows:
    return np.concatenate([rng.permutation(count) for _ in range(deals)])


@dataclass(frozen=True)
class NearDecoys:
    """Decoys with captions of similar images, which score higher than random ones.

    The caption of the similar image may be wrong itself. Then the decoy has the caption of an image that is similar to
    that one. `second` shows how those score.
    """

    first: Scores
    """[M], captions of a similar image"""
    second: Scores
    """[L], captions of an image that is similar to the similar one"""


def dealt_to_near(pairs: Pairs, neighbours: int, rng: np.random.Generator) -> NearDecoys:
    """Gives images the caption of one of the most similar images, drawn from so many neighbours; and once more."""
    among = rng.permutation(len(pairs))[:AMONG]
    queries = among[:QUERIES]
    near = _neighbours(pairs, queries, among, neighbours, rng)
    queries, near = queries[near >= 0], near[near >= 0]
    beyond = _neighbours(pairs, near, among, neighbours, rng)
    is_other = (beyond >= 0) & (pairs.images[queries] != pairs.images[beyond])
    return NearDecoys(pairs.decoys(queries, near), pairs.decoys(queries[is_other], beyond[is_other]))


def _neighbours(pairs: Pairs, rows: Rows, among: Rows, count: int, rng: np.random.Generator) -> Rows:
    """For each row, one of the `count` most similar images, drawn at random: its row, or -1 if there is none."""
    image_AD = pairs.image_vectors[among]
    found = [
        _nearest(pairs, rows[start : start + _ROWS_AT_ONCE], among, image_AD, count, rng)
        for start in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _nearest(
    pairs: Pairs, rows: Rows, among: Rows, image_AD: npt.NDArray[Any], count: int, rng: np.random.Generator
) -> Rows:
    likeness_RA = similarity.cosine_block(pairs.image_vectors[rows], image_AD)
    no_decoy = pairs.images[rows, None] == pairs.images[among]
    no_decoy |= pairs.captions[rows, None] == pairs.captions[among]
    no_decoy |= likeness_RA >= NEAR_COPY
    likeness_RA[no_decoy] = -np.inf
    wanted_R, found_R, every = rng.integers(count, size=len(rows)), np.full(len(rows), -1), np.arange(len(rows))
    for rank in range(count):  # faster than to sort, as there are few ranks
        best_R = likeness_RA.argmax(axis=1)
        is_found = (wanted_R == rank) & (likeness_RA[every, best_R] > -np.inf)
        found_R[is_found] = among[best_R[is_found]]
        likeness_RA[every, best_R] = -np.inf
    return found_R
