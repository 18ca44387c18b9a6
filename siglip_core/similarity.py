"""Cosine, logit and probability of image-text pairs, from stored vectors. Uses numpy only; computes in float32.

SigLIP, arXiv 2303.15343, section 3.2: logit = exp(t) x.y + b, probability = sigmoid(logit). The probabilities are not
calibrated: b contains the prior of one match per training batch, so 0.2 to 0.4 is normal for a right caption.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from siglip_core.errors import SiglipError

Float32 = NDArray[np.float32]


def cosine(x_ND: NDArray[Any], y_ND: NDArray[Any]) -> Float32:
    """Cosines of pairs, [N, D] and [N, D] -> float32 [N], in [-1, 1].

    Inputs are float16, float32 or float64 and need not have unit length: the product is divided by both norms, because
    unit vectors rounded to float16 are not exactly unit. The cosine of a row of zeros is NaN. Raises SiglipError if
    the shapes differ.
    """
    x_ND, y_ND = _vectors("x", x_ND), _vectors("y", y_ND)
    if x_ND.shape != y_ND.shape:
        raise SiglipError(
            f"pairs need equal shapes, got {x_ND.shape} and {y_ND.shape}; to compare all with all use cosine_block"
        )
    dot_N, norms_N = _dot(x_ND, y_ND), np.sqrt(_dot(x_ND, x_ND)) * np.sqrt(_dot(y_ND, y_ND))
    cosine_N: Float32 = np.divide(dot_N, norms_N, out=np.full_like(dot_N, np.nan), where=norms_N > 0)
    return cosine_N.clip(-1.0, 1.0)


def cosine_block(x_ND: NDArray[Any], y_MD: NDArray[Any]) -> Float32:
    """Cosines of all x with all y, [N, D] and [M, D] -> float32 [N, M]; otherwise as `cosine`."""
    x_ND, y_MD = _vectors("x", x_ND), _vectors("y", y_MD)
    if x_ND.shape[1] != y_MD.shape[1]:
        raise SiglipError(f"vectors have {x_ND.shape[1]} and {y_MD.shape[1]} numbers; they come from different models")
    cosine_NM: Float32 = _unit(x_ND) @ _unit(y_MD).T
    return cosine_NM.clip(-1.0, 1.0)


def logit(cosine: NDArray[Any], logit_scale: float, logit_bias: float) -> Float32:
    """logit_scale * cosine + logit_bias, any shape, float32. logit_scale is exp(t), as `Encoder` gives it, not t."""
    scaled: Float32 = np.float32(logit_scale) * np.asarray(cosine, np.float32) + np.float32(logit_bias)
    return scaled


def probability(logit: NDArray[Any]) -> Float32:
    """1 / (1 + exp(-logit)), any shape, float32 in [0, 1]. Exact in both tails, without overflow or warning."""
    x = np.asarray(logit, np.float32)
    small: Float32 = np.exp(-np.abs(x))
    one = np.float32(1)
    result: Float32 = np.where(x >= 0, one, small) / (one + small)
    return result


def _vectors(name: str, x: NDArray[Any]) -> Float32:
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind != "f":
        raise SiglipError(f"{name} must be floats of shape [N, D], got {x.dtype} {x.shape}")
    return x.astype(np.float32, copy=False)


def _dot(x_ND: Float32, y_ND: Float32) -> Float32:
    dot_N: Float32 = np.einsum("nd,nd->n", x_ND, y_ND)
    return dot_N


def _unit(x_ND: Float32) -> Float32:
    norms = np.linalg.norm(x_ND, axis=1, keepdims=True)
    unit_ND: Float32 = np.divide(x_ND, norms, out=np.full_like(x_ND, np.nan), where=norms > 0)
    return unit_ND
