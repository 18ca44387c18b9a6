"""Makes pairs that are certainly mismatched: captions shuffled to other images, and the scores of these pairs."""

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
"""number of images to search for the nearest one; the same for every table, because among more images it is nearer"""
_BLOCK = 4096


@dataclass(frozen=True)
class Pairs:
    """Pairs of a table: vectors, float [N, D] of any length, and ids that show equal images and captions."""

    image_vectors: npt.NDArray[Any]
    text_vectors: npt.NDArray[Any]
    images: Ids
    """[N], equal for pairs with the same image"""
    captions: Ids
    """[N], equal for equal captions"""

    def __len__(self) -> int:
        return len(self.images)

    def cosines(self, images: Rows | None = None, captions: Rows | None = None) -> Cosines:
        """Cosines [M] between images and captions of the given rows, [M] each; by default of each pair itself."""
        images = np.arange(len(self)) if images is None else images
        captions = images if captions is None else captions
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(images), _BLOCK)]
        scored = [
            similarity.cosine(self.image_vectors[images[part]], self.text_vectors[captions[part]]) for part in blocks
        ]
        return np.concatenate(scored) if scored else np.empty(0, np.float32)


@dataclass(frozen=True)
class Shuffled:
    """Scores of mismatched pairs, [M], and the ids of their images, [M]."""

    scores: Cosines
    images: Ids


def dealt_at_random(pairs: Pairs, rng: np.random.Generator) -> Shuffled:
    """Shuffles the captions `SHUFFLES` times. A caption never gets an equal image, or the image of an equal caption."""
    shuffles = [_mismatched(pairs, rng.permutation(len(pairs))) for _ in range(SHUFFLES)]
    images, captions = (np.concatenate(rows) for rows in zip(*shuffles, strict=True))
    return Shuffled(pairs.cosines(images, captions), pairs.images[images])


def _mismatched(pairs: Pairs, shuffled: Rows) -> tuple[Rows, Rows]:
    other = (pairs.images != pairs.images[shuffled]) & (pairs.captions != pairs.captions[shuffled])
    return np.flatnonzero(other), shuffled[other]


def dealt_to_nearest(pairs: Pairs, among: Rows, rng: np.random.Generator) -> Shuffled:
    """Gives each image the caption of the most similar other image: shows how captions of similar images score.

    `among`, [M]: the rows to use. They should have their own caption, as far as known, because the wrong caption of a
    similar image is not a caption of a similar image. At most `NEIGHBOURHOOD` rows are drawn, with distinct images and
    captions.
    """
    drawn = _distinct(pairs.captions, _distinct(pairs.images, rng.permutation(among)))[:NEIGHBOURHOOD]
    if len(drawn) < 2:
        return Shuffled(np.empty(0, np.float32), np.empty(0, np.int64))
    image_MD = pairs.image_vectors[drawn]
    likeness_MM = similarity.cosine_block(image_MD, image_MD)
    np.fill_diagonal(likeness_MM, -np.inf)
    return Shuffled(pairs.cosines(drawn, drawn[likeness_MM.argmax(axis=1)]), pairs.images[drawn])


def _distinct(ids: Ids, rows: Rows) -> Rows:
    """The first row of each id, in the given order."""
    _, first = np.unique(ids[rows], return_index=True)
    return rows[np.sort(first)]
