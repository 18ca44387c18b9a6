"""The normalised score, negCLIPLoss of arXiv 2405.19547: a cosine minus what its image and caption get from others.

    s_i = cos_ii - τ/2 log sum_j exp(cos_ij / τ) - τ/2 log sum_j exp(cos_ji / τ)

over a random batch of pairs that contains pair i; the score is the mean over several batches. It lowers the score of a
caption that fits every image, such as "a photo", and of an image that fits every caption. τ is the table's, 1 / exp(t).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.scoring.signals import Columns, Context, Reference
from pipeline.vectors import Vectors, to_numpy
from siglip_core import similarity

FIELDS = {"normalised_score": pa.float32()}
READ = (schema.UID, schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
NEEDS_TARGET = False

BATCH, SHUFFLES = 32_768, 10
"""as in the paper; a table with no more pairs than a batch is a single batch, used once"""
_ROWS_AT_ONCE = 512

Floats = npt.NDArray[np.float32]


def prepare(context: Context) -> Callable[[pa.RecordBatch], Columns]:
    batches = [context.draw(BATCH, seed) for seed in range(SHUFFLES)]
    if len(batches[0].uids) < BATCH:
        batches = batches[:1]
    return lambda batch: _of_batch(batch, batches, 1 / context.logit_scale)


def _of_batch(batch: pa.RecordBatch, references: list[Reference], temperature: float) -> Columns:
    uids = batch[schema.UID].to_pylist()
    images, texts = (to_numpy(batch[name]) for name in READ[1:])
    scores = [score(uids, images, texts, reference, temperature) for reference in references]
    return {"normalised_score": pa.array(np.mean(scores, axis=0), pa.float32())}


def score(uids: list[str], images: Vectors, texts: Vectors, reference: Reference, temperature: float) -> Floats:
    """The scores of pairs [N], float32 [N]. A pair that is not in the batch `reference` is added to it."""
    places = {uid: place for place, uid in enumerate(reference.uids)}
    own = np.array([places.get(uid, -1) for uid in uids])
    parts = []
    for start in range(0, len(uids), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        cosines = similarity.cosine(images[part], texts[part])
        of_image = _log_sum(
            similarity.cosine_block(images[part], reference.text_vectors), cosines, own[part], temperature
        )
        of_text = _log_sum(
            similarity.cosine_block(texts[part], reference.image_vectors), cosines, own[part], temperature
        )
        parts.append(cosines - temperature / 2 * (of_image + of_text))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _log_sum(others_NM: Floats, cosine_N: Floats, own_N: npt.NDArray[np.intp], temperature: float) -> Floats:
    """log sum exp(cosine / τ) over the batch, which contains the pair itself exactly once, [N]."""
    others_NM = others_NM / np.float32(temperature)
    inside = np.flatnonzero(own_N >= 0)
    others_NM[inside, own_N[inside]] = -np.inf
    all_N_M = np.concatenate([others_NM, cosine_N[:, None] / np.float32(temperature)], axis=1)
    most_N = all_N_M.max(axis=1, keepdims=True)
    total: Floats = np.log(np.exp(all_N_M - most_N).sum(axis=1)) + most_N[:, 0]
    return total
