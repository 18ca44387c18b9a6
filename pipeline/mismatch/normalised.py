"""Normalised scores of decoys, computed as those of pairs are (`siglip_core.normalised_score`).

A wrong caption may come from outside the table. Then no image of the table is its own, and no caption of the table is
its image's own. So a decoy is scored without the caption that its image has, and without the image that its caption
has. Where both are in the table, this makes decoys score higher than such pairs do: the error is on the safe side.

The batch is drawn from the table as it is now. Pairs that were scored when the table had other rows had another batch.
If their scores differ by it, decoys would look better or worse than wrong pairs do. So they are not compared then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import schema
from pipeline.mismatch.pairs import Rows, Scores
from pipeline.mismatch.reference import HAS_VECTORS, draw_reference
from pipeline.table import Table
from pipeline.vectors import Vectors
from siglip_core import normalised_score, similarity

COLUMN = "normalised_score"
BATCH = 32_768
MOST = 10_000
"""the most pairs for an estimate: each is compared with a batch"""

_OTHER_BATCH = 0.05
"""A mean difference of stored scores from those by the batch, in their standard deviations: batches of the same table
differ by less. At this difference, an estimated fraction is wrong by about a sixth of itself."""


def batch_size(table: Table) -> int:
    """How many pairs each pair of a table is compared with."""
    return min(BATCH, table.count(HAS_VECTORS))


@dataclass(frozen=True)
class NormalisedScores:
    own: Scores
    """[N], as stored in the table"""
    of_images: Scores
    """[N], log sums of each image with the batch's other captions"""
    of_texts: Scores
    """[N], log sums of each caption with the batch's other images"""
    in_batch: npt.NDArray[np.bool_]
    """[N], whether the batch contains the pair"""
    temperature: float
    by_batch: Scores
    """[N], the scores of the pairs by this batch"""

    @property
    def why_not(self) -> str | None:
        known = np.isfinite(self.own) & np.isfinite(self.by_batch)
        if not known.any():
            return None
        own, by_batch = self.own[known].astype(np.float64), self.by_batch[known]
        if abs(float(np.mean(own - by_batch))) <= _OTHER_BATCH * float(own.std()):
            return None
        return (
            "normalised scores depend on all pairs of the table, and these were computed when it had other pairs; "
            f"run `siglane score --signal {COLUMN} --all` first"
        )

    def of(self, cosines: Scores, images: Rows, captions: Rows) -> Scores:
        scaled = cosines / np.float32(self.temperature)
        # A sum over a batch that contains the decoy's caption, or its image, contains its cosine.
        of_image, of_text = self.of_images[images], self.of_texts[captions]
        of_image = np.where(self.in_batch[captions], of_image, np.logaddexp(of_image, scaled))
        of_text = np.where(self.in_batch[images], of_text, np.logaddexp(of_text, scaled))
        scores: Scores = (cosines - np.float32(self.temperature / 2) * (of_image + of_text)).astype(np.float32)
        return scores


def of_pairs(table: Table, rows: pa.Table, images: Vectors, texts: Vectors, own: Scores) -> NormalisedScores:
    """Normalised scores of these rows' decoys, by a batch as `score --signal normalised_score` draws it.

    Args:
        rows: with the column `uid`; images, texts: their vectors [N, D].
        own: their scores [N], as stored.
    """
    batch = draw_reference(table, BATCH, seed=0)
    places = {uid: place for place, uid in enumerate(batch.uids)}
    own_N = np.array([places.get(uid, -1) for uid in rows[schema.UID].to_pylist()])
    temperature = 1 / table.identity.logit_scale
    of_images = normalised_score.log_sums(images, batch.text_vectors, own_N, temperature)
    of_texts = normalised_score.log_sums(texts, batch.image_vectors, own_N, temperature)
    by_batch = normalised_score.score(similarity.cosine(images, texts), of_images, of_texts, temperature)
    return NormalisedScores(own, of_images, of_texts, own_N >= 0, temperature, by_batch)
