"""How good siglip-pico is, or a checkpoint trained like it: on scenes of combinations never seen in training.

    python -m benchmarks.siglip_pico [MODEL] [SEED]

1,000 scenes, each caption of which is clearly false of the 999 others; the seed is not one that training used.
"""

import json
import sys
from collections import defaultdict
from random import Random
from typing import Any

import numpy as np

import siglip_core
from scenes.captions import describe
from scenes.corrupt import changed
from scenes.draw import pixels
from scenes.grammar import backgrounds_for
from scenes.plan import Row, plan
from scenes.truth import clearly_false
from siglip_core.retrieval import recall_at_k, roc_auc
from siglip_core.similarity import cosine, cosine_block

SCENES, SEED = 1000, 99
ATTRIBUTES = ("colour", "shape", "size", "layout", "background")


def measure(model: str = "siglip-pico", seed: int = SEED) -> dict[str, Any]:
    """recall@k of text to image and image to text; AUC of true captions against others' and against altered ones."""
    encoder = siglip_core.load(model)
    rows = plan(SCENES, seed, "test", {"attribute": 1.0})
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
        "true_caption_above_altered_one_by_attribute": _by_attribute(encoder, rows, x_NE, seed),
    }


def _by_attribute(encoder: Any, rows: list[Row], x_NE: Any, seed: int) -> dict[str, float]:
    """How often a true caption scores above the same words with this attribute changed; places by number of things."""
    pairs: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for index, row in enumerate(rows):
        scene, words = row.picture.scene, f"{seed}/by attribute/{index}"
        for attribute in ATTRIBUTES:
            if attribute == "background" and len(backgrounds_for(scene.things)) == 1:
                continue  # on no other could all of its things be seen
            altered = describe(changed(scene, "test", Random(f"{words}/{attribute}"), (attribute,)), Random(words))
            if clearly_false(altered.claims, row.picture):
                kind = f"layout of {len(scene.things)}" if attribute == "layout" else attribute
                pairs[kind].append((index, describe(scene, Random(words)).text, altered.text))
    shares = {}
    for kind, found in sorted(pairs.items()):
        images_NE = x_NE[[index for index, _, _ in found]]
        true_N, altered_N = (cosine(encoder.encode_text([pair[side] for pair in found]), images_NE) for side in (1, 2))
        shares[kind] = round(float((true_N > altered_N).mean()), 4)
    return shares


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:2], *map(int, sys.argv[2:])), indent=2))
