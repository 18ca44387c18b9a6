"""Pairs that an estimate looks at, and what a score says of any image and caption of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from siglip_core import similarity

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Scores = npt.NDArray[np.float32]

_BLOCK = 4096


class PairScore(Protocol):
    """A score that is no function of the cosine alone."""

    @property
    def own(self) -> Scores:
        """[N], of the pairs themselves"""

    @property
    def why_not(self) -> str | None:
        """Why decoys' scores cannot be compared with the pairs', as the end of a sentence; None: they can."""

    def of(self, cosines: Scores, images: Rows, captions: Rows) -> Scores:
        """Scores [M] of decoys: the images and captions of these rows, [M] each, with their cosines [M]."""


@dataclass(frozen=True)
class Pairs:
    """N pairs: vectors, float [N, D] of any length, and ids that show equal images and captions."""

    image_vectors: npt.NDArray[Any]
    text_vectors: npt.NDArray[Any]
    images: Ids
    """[N], equal for pairs with the same image"""
    captions: Ids
    """[N], equal for equal captions"""
    score: PairScore | None = None
    """None: the cosine"""

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def own(self) -> Scores:
        """Scores [N] of the pairs themselves."""
        return self.cosines() if self.score is None else self.score.own

    def decoys(self, images: Rows, captions: Rows) -> Scores:
        """Scores [M] of the images and captions of the given rows, [M] each, which do not belong together."""
        cosines = self.cosines(images, captions)
        return cosines if self.score is None else self.score.of(cosines, images, captions)

    def cosines(self, images: Rows | None = None, captions: Rows | None = None) -> Scores:
        """Cosines [M] between images and captions of the given rows, [M] each; by default of each pair itself."""
        images = np.arange(len(self)) if images is None else images
        captions = images if captions is None else captions
        return _cosines(self.image_vectors, self.text_vectors, images, captions)

    def likeness(self, images: Rows, others: Rows) -> Scores:
        """Cosines [M] between the images of the given rows, [M] each."""
        return _cosines(self.image_vectors, self.image_vectors, images, others)

    @cached_property
    def genericity(self) -> Scores:
        """The mean cosine of each caption with the images of all pairs, [N]: high for "image for sale"."""
        mean = np.zeros(self.image_vectors.shape[1])
        for start in range(0, len(self), _BLOCK):
            mean += _unit(self.image_vectors[start : start + _BLOCK]).sum(axis=0)
        parts = [
            _unit(self.text_vectors[start : start + _BLOCK]) @ (mean / len(self))
            for start in range(0, len(self), _BLOCK)
        ]
        return np.concatenate(parts).astype(np.float32) if parts else np.empty(0, np.float32)


def _cosines(left: npt.NDArray[Any], right: npt.NDArray[Any], rows: Rows, others: Rows) -> Scores:
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK)]
    scored = [similarity.cosine(left[rows[part]], right[others[part]]) for part in blocks]
    return np.concatenate(scored) if scored else np.empty(0, np.float32)


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    vectors = vectors.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit
