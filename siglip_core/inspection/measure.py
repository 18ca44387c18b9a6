"""Measures what a model computes for one image: its input, position embeddings, pooling attention, caption scores.

Shapes as in `model.py`: B batch, L patches, D width, N heads, K = D / N, Q queries.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from siglip_core import preprocess, similarity
from siglip_core.encoder import Encoder
from siglip_core.model import MapHead


@dataclass(frozen=True)
class CaptionScore:
    """The scores of one caption for the image. The probability is not calibrated (see similarity.py)."""

    caption: str
    cosine: float
    logit: float
    probability: float


@dataclass(frozen=True)
class Inspection:
    """One image as one model sees it. L = rows * columns patches, row by row; N heads of the MAP head.

    width, height: the image's original size in pixels, upright.
    pixels: uint8 [H, W, 3], the resized input; the model does not see pixels beyond the last complete patch.
    position_cosine: float32 [L, L], cosines of the position embeddings with each other, in [-1, 1].
    attention: float32 [N, L], the MAP head's weights, which sum to 1 for each head.
    """

    model: str
    width: int
    height: int
    pixels: NDArray[np.uint8]
    patch_size: int
    rows: int
    columns: int
    position_cosine: NDArray[np.float32]
    attention: NDArray[np.float32]
    logit_scale: float
    logit_bias: float
    captions: tuple[CaptionScore, ...]


def inspect(encoder: Encoder, image: bytes, captions: list[str]) -> Inspection:
    """Measures one image. Raises ImageError if the bytes are not an image, and what `encode_text` raises."""
    decoded = preprocess.decode(image, encoder.spec.preprocessing)
    tower, patch = encoder.module.image, encoder.spec.vision.patch_size
    rows, columns = decoded.pixels.shape[0] // patch, decoded.pixels.shape[1] // patch
    image_1D, tokens_1LD = _encode(encoder, decoded.pixels)
    with torch.inference_mode():
        position_LD = F.normalize(tower.positions(rows, columns).float(), dim=-1)
        attention_1N1L = map_attention(tower.head, tokens_1LD)
    return Inspection(
        model=encoder.spec.name,
        width=decoded.width,
        height=decoded.height,
        pixels=decoded.pixels,
        patch_size=patch,
        rows=rows,
        columns=columns,
        position_cosine=(position_LD @ position_LD.T).cpu().numpy(),
        attention=attention_1N1L[0, :, 0].float().cpu().numpy(),
        logit_scale=encoder.logit_scale,
        logit_bias=encoder.logit_bias,
        captions=tuple(_score(encoder, image_1D, captions)) if captions else (),
    )


def map_attention(head: MapHead, x_BLD: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(K)): the weights [B, N, 1, L] with which the head's probe pools tokens x without padding.

    The head does not compute these weights separately, because its attention is one fused call.
    """
    attention = head.attention
    q_BN1K = attention.query(head.probe.expand(len(x_BLD), -1, -1)).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
    k_BNLK = attention.key(x_BLD).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
    weights_BN1L: Tensor = (q_BN1K @ k_BNLK.mT / math.sqrt(k_BNLK.shape[-1])).softmax(-1)
    return weights_BN1L


def _encode(encoder: Encoder, pixels_HWC: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Tensor]:
    """The image's vector [1, D], and the tokens [1, L, D] that the MAP head pooled into it."""
    pooled: list[Tensor] = []
    hook = encoder.module.image.head.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    try:
        vector_1D = encoder.encode_image([pixels_HWC]).numpy()
    finally:
        hook.remove()
    return vector_1D, pooled[0]


def _score(encoder: Encoder, image_1D: NDArray[np.float32], captions: list[str]) -> list[CaptionScore]:
    cosine_C = similarity.cosine_block(image_1D, encoder.encode_text(captions).numpy())[0]
    logit_C = similarity.logit(cosine_C, encoder.logit_scale, encoder.logit_bias)
    scores_C3 = np.stack([cosine_C, logit_C, similarity.probability(logit_C)], axis=1)
    return [CaptionScore(caption, *scores) for caption, scores in zip(captions, scores_C3.tolist(), strict=True)]
