"""Scenes for a trainer: batches drawn straight into arrays, without end, without files."""

from collections.abc import Iterator
from random import Random

import numpy as np
from numpy.typing import NDArray

from scenes.captions import Caption, describe
from scenes.corrupt import changed
from scenes.draw import pixels
from scenes.grammar import Split
from scenes.place import Picture, place
from scenes.plan import described
from scenes.truth import clearly_false

_TWIN_TRIES = 20


def sample(
    batch_size: int, seed: int, split: Split = "train", *, size: int = 64, near: float = 0.0, start: int = 0
) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Endless batches of pictures with true captions: uint8 [batch_size, size, size, 3] and as many texts.

    Args:
        batch_size: pairs in a batch.
        seed: batch number k depends on the seed, the split and k alone, so that a trainer resumes with
            `start`.
        split: as in `write_dataset`.
        size: side of the pictures in pixels.
        near: share of the batch, 0 to 0.5, that are near misses: a scene of the same batch with one attribute
            changed, drawn anew and captioned in the same words but for that attribute. As negatives in one
            batch they teach what a random batch hardly asks for: which thing is small, which is left.
        start: number of the first batch.
    """
    if not 0.0 <= near <= 0.5:
        raise ValueError(f"near must lie in 0..0.5, not {near}")
    twins = round(near * batch_size)
    number = start
    while True:
        images = np.empty((batch_size, size, size, 3), np.uint8)
        texts = []
        for position, (picture, caption) in enumerate(_batch(batch_size, twins, seed, split, number)):
            images[position] = pixels(picture, size)
            texts.append(caption.text)
        yield images, texts
        number += 1


def _batch(batch_size: int, twins: int, seed: int, split: Split, number: int) -> Iterator[tuple[Picture, Caption]]:
    """The batch's pairs; the first `twins` scenes are followed each by its near miss."""
    for position in range(batch_size - twins):
        index = number * batch_size + position
        picture, caption = described(seed, split, index)
        yield picture, caption
        if position < twins:
            yield _near_miss(picture, caption, seed, split, index)


def _near_miss(picture: Picture, caption: Caption, seed: int, split: Split, index: int) -> tuple[Picture, Caption]:
    """A picture with one attribute changed, and its caption; neither caption fits the other's picture."""
    rng = Random(f"{seed}/{split}/{index}/near")
    for _ in range(_TWIN_TRIES):
        twin = place(changed(picture.scene, split, rng), rng)
        if twin is None:
            continue
        words = describe(twin.scene, Random(f"{seed}/{split}/{index}/words"))
        if clearly_false(words.claims, picture) and clearly_false(caption.claims, twin):
            return twin, words
    # A scene so crowded that no variation of it fits: an unrelated one serves.
    return described(seed, split, index, attempt=1)
