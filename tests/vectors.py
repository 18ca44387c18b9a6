"""Pairs of vectors whose truth is known: meanings, and images and captions scattered around them."""

from __future__ import annotations

import numpy as np

from pipeline.mismatch.normalised import NormalisedScores
from pipeline.mismatch.pairs import Pairs
from siglip_core import normalised_score

DIMENSION = 64
# Images of a group share this much of their direction, and so do the captions that describe them.
WITHIN = 0.8


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def simulated(
    count: int, wrong: float, seed: int, similar: bool = False, noise: float = 0.6
) -> tuple[Pairs, np.ndarray]:
    """Pairs around `count` meanings, some of whose captions are for certain of another one; (pairs, wrong [N]).

    Meanings come in groups of eight alike. A wrong caption is any other's, or, if `similar`, one's of the same group.
    """
    rng = np.random.default_rng(seed)
    groups = np.arange(count) // 8
    shared = unit(rng.standard_normal((groups.max() + 1, DIMENSION)))[groups]
    meanings = unit(WITHIN * shared + (1 - WITHIN**2) ** 0.5 * unit(rng.standard_normal((count, DIMENSION))))
    image, text = (unit(meanings + noise * unit(rng.standard_normal(meanings.shape))) for _ in range(2))
    is_wrong = np.zeros(count, bool)
    is_wrong[rng.choice(count, round(wrong * count), replace=False)] = True
    other = np.arange(count) ^ 1 if similar else (np.arange(count) + count // 2) % count
    ids = np.arange(count)
    return Pairs(image, text[np.where(is_wrong, other, ids)], ids, ids), is_wrong


def normalised_alone(pairs: Pairs, temperature: float = 0.05) -> NormalisedScores:
    """Normalised scores as of a table that holds these pairs alone."""
    own, (images, texts) = np.arange(len(pairs)), (pairs.image_vectors, pairs.text_vectors)
    of_images = normalised_score.log_sums(images, texts, own, temperature)
    of_texts = normalised_score.log_sums(texts, images, own, temperature)
    scores = normalised_score.score(pairs.cosines(), of_images, of_texts, temperature)
    return NormalisedScores(scores, of_images, of_texts, np.ones(len(pairs), bool), temperature, scores)
