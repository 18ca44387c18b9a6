"""Endless batches of scenes for a trainer, drawn into arrays without files."""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scenes.captions import Caption, describe
from scenes.corrupt import changed
from scenes.draw import pixels
from scenes.grammar import Split
from scenes.place import Picture, in_place, place, rearranged
from scenes.plan import described
from scenes.truth import clearly_false

Pair: TypeAlias = tuple[Picture, Caption]

_TRIES = 20
# A model learns colour and background early, so near misses in these attributes are rare.
_NEAR_ATTRIBUTES = (*3 * ("shape",), *4 * ("layout",), *2 * ("size",), "colour", "background")


def sample(
    batch_size: int,
    seed: int,
    split: Split = "train",
    *,
    size: int = 64,
    near: int = 0,
    most_things: int = 3,
    start: int = 0,
) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Endless batches of pictures with true captions: uint8 [batch_size, size, size, 3] and batch_size texts.

    Args:
        batch_size: pairs in a batch.
        seed: batch number k depends only on the seed, the split and k, so a trainer can resume with `start`.
        split: as in `write_dataset`.
        size: side of the pictures in pixels.
        near: number of near misses that follow each scene. A near miss is the scene with one attribute changed; all
            things stay in place, unless the layout is what changed, and only the words for that attribute change. As
            negatives in the same batch they teach what random batches rarely need: which thing is small, which is left.
        most_things: maximum number of things in a scene, 1 to 3. Scenes with one thing are learned first.
        start: number of the first batch.
    """
    if near < 0:
        raise ValueError(f"near must be 0 or more, not {near}")
    number = start
    while True:
        images = np.empty((batch_size, size, size, 3), np.uint8)
        texts = []
        for position, (picture, caption) in enumerate(
            islice(_pairs(seed, split, number * batch_size, near, most_things), batch_size)
        ):
            images[position] = pixels(picture, size)
            texts.append(caption.text)
        yield images, texts
        number += 1


def sample_captions(
    batch_size: int, seed: int, split: Split = "train", *, near: int = 0, start: int = 0
) -> Iterator[tuple[list[str], list[str]]]:
    """As `sample`, but with a second, differently worded caption of each scene instead of its picture."""
    number = start
    while True:
        group = list(islice(_pairs(seed, split, number * batch_size, near), batch_size))
        others = [
            _reworded(group[start : start + near + 1], place, f"{seed}/{split}/{number}/{start + place}/reworded")
            for start in range(0, batch_size, near + 1)
            for place in range(min(near + 1, batch_size - start))
        ]
        yield others, [caption.text for _, caption in group]
        number += 1


def _reworded(group: list[Pair], place: int, seed: str) -> str:
    """Another caption of one scene in a group of near misses; it too is false for all other scenes of the group."""
    (picture, caption), rng = group[place], Random(seed)
    others = [other for index, (other, _) in enumerate(group) if index != place]
    for _ in range(_TRIES):
        reworded = describe(picture.scene, rng)
        if all(clearly_false(reworded.claims, other) for other in others):
            return reworded.text
    return caption.text


def _pairs(seed: int, split: Split, index: int, near: int, most_things: int = 3) -> Iterator[Pair]:
    """An endless sequence of scenes that starts at number `index`, each followed by its near misses."""
    while True:
        group = [described(seed, split, index, most_things=most_things)]
        for _ in range(near):
            group.append(_near_miss(group, seed, split, index))
        yield from group
        index += 1


def _near_miss(group: list[Pair], seed: int, split: Split, index: int) -> Pair:
    """A picture that differs from the group's first in one attribute. Each caption fits only its own picture."""
    first = group[0][0]
    rng = Random(f"{seed}/{split}/{index}/near/{len(group)}")
    for _ in range(_TRIES):
        scene = changed(first.scene, split, rng, _NEAR_ATTRIBUTES)
        reordered = scene.things != first.scene.things and {*scene.things} == {*first.scene.things}
        moved = scene.layout != first.scene.layout or reordered
        picture = rearranged(scene, first) or place(scene, rng) if moved else in_place(scene, first)
        if picture is None:
            continue
        caption = describe(picture.scene, Random(f"{seed}/{split}/{index}/words"))
        if all(clearly_false(caption.claims, p) and clearly_false(c.claims, picture) for p, c in group):
            return picture, caption
    # A crowded scene has few variations that fit. An unrelated scene is then as good a negative as any other.
    most_things = len(first.placed)
    return described(seed, split, index, attempt=len(group), most_things=most_things)
