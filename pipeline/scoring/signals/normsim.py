"""Similarity of an image to the images of a target, NormSim of arXiv 2405.19547: the p-norm of its cosines with them.

    NormSim_p(x) = (sum_j |cos(x, z_j)|^p)^(1/p)   over the M images z_j of the target

`normsim_inf` is p = ∞: the largest cosine, with the target's nearest image, in [-1, 1]. An image that the target
contains has 1. `normsim_2` is p = 2 divided by the square root of M: the root mean square of the cosines, in [0, 1]. It
ranks pairs like the sum, and values for targets of different sizes can be compared.

The target is multiplied in blocks, which need at most 80 MB (for D = 1,024) besides its stored vectors. The cost is one
product of all image vectors with all target vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.scoring.signals import Columns, Context
from pipeline.vectors import Vectors, to_numpy
from siglip_core import similarity

FIELDS = {"normsim_inf": pa.float32(), "normsim_2": pa.float32()}
READ = (schema.IMAGE_VECTOR,)
NEEDS_TARGET = True

_ROWS_AT_ONCE, _TARGETS_AT_ONCE = 1024, 4096

Floats = npt.NDArray[np.float32]


def prepare(context: Context) -> Callable[[pa.RecordBatch], Columns]:
    target_MD = context.target
    assert target_MD is not None
    return lambda batch: _of_batch(batch, target_MD)


def _of_batch(batch: pa.RecordBatch, target_MD: Vectors) -> Columns:
    image_ND = to_numpy(batch[schema.IMAGE_VECTOR])
    return {name: pa.array(values) for name, values in zip(FIELDS, score(image_ND, target_MD), strict=True)}


def score(image_ND: Vectors, target_MD: Vectors) -> tuple[Floats, Floats]:
    """For images [N, D] and a target [M, D], M > 0: the largest cosine and the root mean square, both float32 [N].

    NaN if an image vector has no direction.
    """
    largest_N = np.full(len(image_ND), -np.inf, np.float32)
    squares_N = np.zeros(len(image_ND))
    for start in range(0, len(target_MD), _TARGETS_AT_ONCE):
        target_TD = target_MD[start : start + _TARGETS_AT_ONCE].astype(np.float32, copy=False)
        for first in range(0, len(image_ND), _ROWS_AT_ONCE):
            part = slice(first, first + _ROWS_AT_ONCE)
            cosine_RT = similarity.cosine_block(image_ND[part], target_TD)
            np.maximum(largest_N[part], cosine_RT.max(axis=1), out=largest_N[part])
            squares_N[part] += np.einsum("rt,rt->r", cosine_RT, cosine_RT)
    return largest_N, np.sqrt(squares_N / len(target_MD)).astype(np.float32)
