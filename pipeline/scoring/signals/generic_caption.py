"""How much a caption fits any image: a generic one, such as "image for sale", scores with all of them.

`caption_mean_cosine`: the mean cosine of the caption with a random sample of at most 32,768 images of the table, which
is the product of its vector with the mean of theirs, in [-1, 1].

`caption_image_rank`: the share of 1,024 of these images that score higher with the caption than its own image does, in
[0, 1]. 0 if none does; about 0.5 if its own image means nothing to the caption. Equal images do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.scoring.signals import Columns, Context
from pipeline.vectors import Vectors, to_numpy
from siglip_core import similarity

FIELDS = {"caption_mean_cosine": pa.float32(), "caption_image_rank": pa.float32()}
READ = (schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
NEEDS_TARGET = False

IMAGES, RANKED = 32_768, 1_024
_ROWS_AT_ONCE = 2_048
_ROUNDING = 1e-6
"""an image that scores higher by no more than this is an equal one"""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """Of the images of a table."""

    mean: Floats
    """[D], of the unit vectors"""
    ranked: Floats
    """[M, D], unit length"""


def prepare(context: Context) -> Callable[[pa.RecordBatch], Columns]:
    sample = sample_of(context.draw(IMAGES, 0).image_vectors)
    return lambda batch: _of_batch(batch, sample)


def sample_of(images_MD: Vectors) -> Sample:
    """The sample of images [M, D] in random order. Vectors without a direction are left out."""
    images_MD = images_MD.astype(np.float32)
    norms_M = np.linalg.norm(images_MD, axis=1)
    has_direction = np.isfinite(norms_M) & (norms_M > 0)
    unit_MD = images_MD[has_direction] / norms_M[has_direction, None]
    return Sample(unit_MD.mean(axis=0), unit_MD[:RANKED])


def _of_batch(batch: pa.RecordBatch, sample: Sample) -> Columns:
    images, texts = (to_numpy(batch[name]) for name in READ)
    return {name: pa.array(values) for name, values in zip(FIELDS, score(images, texts, sample), strict=True)}


def score(images_ND: Vectors, texts_ND: Vectors, sample: Sample) -> tuple[Floats, Floats]:
    """(mean cosine, rank) of pairs [N, D], both float32 [N]. NaN for a vector without a direction."""
    means, ranks = [], []
    for start in range(0, len(texts_ND), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        text_ND = texts_ND[part].astype(np.float32)
        own_N = similarity.cosine(images_ND[part], text_ND)
        is_higher_NM = similarity.cosine_block(text_ND, sample.ranked) > own_N[:, None] + _ROUNDING
        ranks.append(np.where(np.isnan(own_N), np.nan, is_higher_NM.mean(axis=1)))
        with np.errstate(invalid="ignore"):  # a vector of zeros
            means.append(text_ND @ sample.mean / np.linalg.norm(text_ND, axis=1))
    return np.concatenate(means), np.concatenate(ranks).astype(np.float32)
