"""Rows -> scores, from the stored vectors and the table's scale and bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, vectors
from pipeline.schema import Identity
from siglip_core import similarity

COLUMNS = (schema.IMAGE_VECTOR, schema.TEXT_VECTOR)
SCORABLE = f"{schema.IMAGE_VECTOR} IS NOT NULL AND {schema.TEXT_VECTOR} IS NOT NULL"


@dataclass(frozen=True)
class Score:
    """Callable on a batch whose vector columns have no nulls; gives cosine, logit, probability, float32 [N] each."""

    identity: Identity

    def __call__(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        image_ND, text_ND = (vectors.to_numpy(batch[name]) for name in COLUMNS)
        cosine_N = similarity.cosine(image_ND, text_ND)
        logit_N = similarity.logit(cosine_N, self.identity.logit_scale, self.identity.logit_bias)
        scores = (cosine_N, logit_N, similarity.probability(logit_N))
        return {name: pa.array(values) for name, values in zip(schema.SCORES, scores, strict=True)}

    def where_possible(self, images: pa.FixedSizeListArray, texts: pa.FixedSizeListArray) -> dict[str, pa.Array]:
        """The scores of columns [N] that may have nulls. A score is null if either vector is null."""
        both = pc.and_(pc.is_valid(images), pc.is_valid(texts)).to_numpy(zero_copy_only=False)
        rows = pa.array(np.flatnonzero(both))
        scores = self(pa.record_batch([images.take(rows), texts.take(rows)], names=COLUMNS))
        places = pa.array(np.cumsum(both) - 1, mask=~both)
        return {name: values.take(places) for name, values in scores.items()}
