"""Pairs for the trainer: decodes an input's photos once, and shuffles them into batches that a resumed run repeats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline import sources
from pipeline.errors import InputError
from pipeline.sources import SourceOptions
from siglip_core.errors import ImageError
from siglip_core.preprocess import decode
from siglip_core.variants import Preprocessing

Batch = tuple[npt.NDArray[np.uint8], list[str]]


@dataclass(frozen=True)
class TrainingPairs:
    """All pairs, in memory: S x S x 3 bytes per photo."""

    images: npt.NDArray[np.uint8]
    """[N, S, S, 3], each photo once"""
    captions: tuple[tuple[str, ...], ...]
    """one or more captions for each photo"""
    left_out: int
    """skipped pairs: without a caption, or with an image that cannot be decoded"""

    @property
    def reworded(self) -> int:
        """number of photos with at least two different captions"""
        return sum(len(set(captions)) > 1 for captions in self.captions)

    def batches(self, batch_size: int, seed: int, first_step: int) -> Iterator[Batch]:
        """Endless batches, from step `first_step` (counted from 0) on: uint8 [B, S, S, 3] and B texts.

        Every epoch has its own order, and uses each photo at most once, with one of its captions. Its other captions
        would be negatives of their own photo.
        """
        per_epoch = len(self.images) // batch_size
        step = first_step
        while True:
            epoch, place = divmod(step, per_epoch)
            order = np.random.default_rng((seed, epoch)).permutation(len(self.images))
            chosen = order[place * batch_size : (place + 1) * batch_size]
            choose = np.random.default_rng((seed, epoch, place))
            yield self.images[chosen], [str(choose.choice(self.captions[index])) for index in chosen]
            step += 1

    def caption_batches(self, batch_size: int, seed: int, first_step: int) -> Iterator[tuple[list[str], list[str]]]:
        """As `batches`, but with two captions of each photo. Uses only photos with two captions or more.

        There must be at least `batch_size` such photos.
        """
        several = [sorted(captions) for captions in map(set, self.captions) if len(captions) > 1]
        per_epoch = len(several) // batch_size
        step = first_step
        while True:
            epoch, place = divmod(step, per_epoch)
            order = np.random.default_rng((seed, epoch)).permutation(len(several))
            chosen = order[place * batch_size : (place + 1) * batch_size]
            choose = np.random.default_rng((seed, epoch, place))
            pairs = [choose.choice(several[index], 2, replace=False) for index in chosen]
            yield [str(one) for one, _ in pairs], [str(other) for _, other in pairs]
            step += 1


def read_pairs(options: SourceOptions, preprocessing: Preprocessing) -> TrainingPairs:
    """Reads and decodes every pair of an input.

    Raises:
        InputError: the input does not exist, or none of its pairs can be used.
    """
    input_format, listing, chunks = sources.planned(options)
    module = sources.formats()[input_format]
    images: list[npt.NDArray[np.uint8]] = []
    captions: list[list[str]] = []
    places: dict[str, int | None] = {}
    left_out = 0
    for chunk in chunks:
        for sample in module.read(chunk, options):
            caption = (sample.caption or "").strip()
            if sample.image is None or not caption:
                left_out += 1
                continue
            digest = hashlib.sha256(sample.image).hexdigest()
            if digest not in places:
                pixels = _decoded(sample.image, preprocessing)
                places[digest] = None if pixels is None else len(images)
                if pixels is not None:
                    images.append(pixels)
                    captions.append([])
            place = places[digest]
            if place is None:
                left_out += 1
            else:
                captions[place].append(caption)
    if not images:
        raise InputError(
            f"input {listing.uri}: none of its {left_out} pairs has both a readable image and a caption; check --input"
        )
    return TrainingPairs(np.stack(images), tuple(map(tuple, captions)), left_out)


def _decoded(image: bytes, preprocessing: Preprocessing) -> npt.NDArray[np.uint8] | None:
    try:
        return decode(image, preprocessing).pixels
    except ImageError:
        return None  # the caller counts it
