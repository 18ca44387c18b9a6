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
from pipeline.mismatch.reference import Reference
from pipeline.scoring.signals import Columns, Context
from pipeline.vectors import Vectors, to_numpy
from siglip_core import normalised_score, similarity

FIELDS = {"normalised_score": pa.float32()}
READ = (schema.UID, schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
NEEDS_TARGET = False

BATCH, SHUFFLES = 32_768, 10
"""as in the paper; a table with no more pairs than a batch is a single batch, used once"""

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
    own_N = np.array([places.get(uid, -1) for uid in uids], np.intp)
    of_image_N = normalised_score.log_sums(images, reference.text_vectors, own_N, temperature)
    of_text_N = normalised_score.log_sums(texts, reference.image_vectors, own_N, temperature)
    return normalised_score.score(similarity.cosine(images, texts), of_image_N, of_text_N, temperature)
