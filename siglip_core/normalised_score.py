"""The normalised score, negCLIPLoss of arXiv 2405.19547: a cosine minus what image and caption get from others.

    s_i = cos_ii - τ/2 log sum_j exp(cos_ij / τ) - τ/2 log sum_j exp(cos_ji / τ)

over a random batch of pairs that contains pair i exactly once. It lowers the score of a caption that fits every image,
such as "a photo", and of an image that fits every caption. τ is 1 / exp(t).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from siglip_core.similarity import Float32, cosine_block

_ROWS_AT_ONCE = 512


def log_sums(x_ND: NDArray[Any], y_MD: NDArray[Any], own_N: NDArray[np.intp], temperature: float) -> Float32:
    """log sum_m exp(cos_nm / τ) without the row's own m, float32 [N]; own_N: -1 where it is not among them.

    A y without a direction (zeros, NaN) adds nothing.
    """
    parts = []
    for start in range(0, len(x_ND), _ROWS_AT_ONCE):
        own = own_N[start : start + _ROWS_AT_ONCE]
        others_NM = cosine_block(x_ND[start : start + _ROWS_AT_ONCE], y_MD) / np.float32(temperature)
        others_NM[np.isnan(others_NM)] = -np.inf
        inside = np.flatnonzero(own >= 0)
        others_NM[inside, own[inside]] = -np.inf
        most_N = np.maximum(others_NM.max(axis=1), np.finfo(np.float32).min)
        with np.errstate(divide="ignore"):  # nothing but the row's own gives log 0
            parts.append(np.log(np.exp(others_NM - most_N[:, None]).sum(axis=1)) + most_N)
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def score(cosine_N: NDArray[Any], of_image_N: Float32, of_text_N: Float32, temperature: float) -> Float32:
    """The normalised scores [N] of pairs, from their cosines and the log sums of images and captions, [N] each.

    NaN where the cosine is.
    """
    scaled = cosine_N / np.float32(temperature)
    with np.errstate(invalid="ignore"):  # a pair without a cosine
        sums = np.logaddexp(of_image_N, scaled) + np.logaddexp(of_text_N, scaled)
    normalised: Float32 = (cosine_N - np.float32(temperature / 2) * sums).astype(np.float32)
    return normalised
