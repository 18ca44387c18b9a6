"""Pairs that are mismatched for certain: captions dealt to other images than their own, and how these pairs score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from siglip_core import similarity

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Cosines = npt.NDArray[np.float32]

SHUFFLES = 4
NEIGHBOURHOOD = 2000
"""how many images the nearest one is looked for among: the same number for every table, as among more it is nearer"""
_BLOCK = 4096


@dataclass(frozen=True)
class Pairs:
    """Pairs of a table: vectors, float [N, D] of any length, and what is equal in them."""

    image_vectors: npt.NDArray[Any]
    text_vectors: npt.NDArray[Any]
    images: Ids
    """[N], equal for pairs of one image"""
    captions: Ids
    """[N], equal for equal captions"""

    def __len__(self) -> int:
        return len(self.images)

    def cosines(self, images: Rows | None = None, captions: Rows | None = None) -> Cosines:
        """Cosines [M] of the images of some rows with the captions of others, [M] each; by default of each pair."""
        images = np.arange(len(self)) if images is None else images
        captions = images if captions is None else captions
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(images), _BLOCK)]
        scored = [
            similarity.cosine(self.image_vectors[images[part]], self.text_vectors[captions[part]]) for part in blocks
        ]
        return np.concatenate(scored) if scored else np.empty(0, np.float32)


@dataclass(frozen=True)
class Shuffled:
    """Scores of mismatched pairs, [M], and the ids of the images in them, [M]."""

    scores: Cosines
    images: Ids


def dealt_at_random(pairs: Pairs, rng: np.random.Generator) -> Shuffled:
    """Every caption to another image, `SHUFFLES` times; never to an equal image, nor to that of an equal caption."""
    shuffles = [_deal(pairs, rng.permutation(len(pairs))) for _ in range(SHUFFLES)]
    images, captions = (np.concatenate(rows) for rows in zip(*shuffles, strict=True))
    return Shuffled(pairs.cosines(images, captions), pairs.images[images])


def _deal(pairs: Pairs, dealt: Rows) -> tuple[Rows, Rows]:
    other = (pairs.images != pairs.images[dealt]) & (pairs.captions != pairs.captions[dealt])
    return np.flatnonzero(other), dealt[other]


def dealt_to_nearest(pairs: Pairs, among: Rows, rng: np.random.Generator) -> Shuffled:
    """To each image the caption of the one most like it: how wrong captions score that come from similar images.

    `among`, [M]: the rows to take, such as have their own caption, as far as one can know: the wrong caption of a
    similar image is no caption of a similar image. At most `NEIGHBOURHOOD` are drawn, of distinct images and captions.
    """
    drawn = _distinct(pairs.captions, _distinct(pairs.images, rng.permutation(among)))[:NEIGHBOURHOOD]
    if len(drawn) < 2:
        return Shuffled(np.empty(0, np.float32), np.empty(0, np.int64))
    image_MD = pairs.image_vectors[drawn]
    likeness_MM = similarity.cosine_block(image_MD, image_MD)
    np.fill_diagonal(likeness_MM, -np.inf)
    return Shuffled(pairs.cosines(drawn, drawn[likeness_MM.argmax(axis=1)]), pairs.images[drawn])


def _distinct(ids: Ids, rows: Rows) -> Rows:
    """The rows, in their order, without those whose id came before."""
    _, first = np.unique(ids[rows], return_index=True)
    return rows[np.sort(first)]
