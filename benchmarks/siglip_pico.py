"""How good siglip-pico is, or a checkpoint trained like it: on scenes of combinations never seen in training.

    python -m benchmarks.siglip_pico [MODEL]

1,000 scenes, each caption of which is clearly false of the 999 others; the seed is not one that training used.
"""

import json
import sys
from typing import Any

import numpy as np

import siglip_core
from scenes.draw import pixels
from scenes.plan import plan
from siglip_core.retrieval import recall_at_k, roc_auc
from siglip_core.similarity import cosine, cosine_block

SCENES, SEED = 1000, 99


def measure(model: str = "siglip-pico") -> dict[str, Any]:
    """recall@k of text to image and image to text; AUC of true captions against others' and against altered ones."""
    encoder = siglip_core.load(model)
    rows = plan(SCENES, SEED, "test", {"attribute": 1.0})
    size = encoder.spec.preprocessing.resolution
    x_NE = encoder.encode_image(np.stack([pixels(row.picture, size) for row in rows]))
    y_NE = encoder.encode_text([row.true_caption for row in rows])
    altered_NE = encoder.encode_text([row.caption for row in rows])
    text_to_image_NN = cosine_block(y_NE, x_NE)
    matched_N, elsewhere_NN = text_to_image_NN.diagonal(), ~np.eye(SCENES, dtype=bool)
    altered_N = cosine(altered_NE, x_NE)
    return {
        "model": model,
        "weights": encoder.weights_digest,
        "text_to_image_recall": {k: round(recall_at_k(text_to_image_NN, k), 4) for k in (1, 5, 10)},
        "image_to_text_recall": {k: round(recall_at_k(text_to_image_NN.T, k), 4) for k in (1, 5, 10)},
        "auc_against_random_captions": round(roc_auc(matched_N, text_to_image_NN[elsewhere_NN]), 4),
        "auc_against_one_attribute_changed": round(roc_auc(matched_N, altered_N), 4),
        "true_caption_above_altered_one": round(float((matched_N > altered_N).mean()), 4),
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:]), indent=2))
