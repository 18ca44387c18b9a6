"""Published outputs of published weights, where both are at hand.

SIGLIP_WEIGHTS names a folder that holds model folders by their short names (`siglip-base-patch16-224`, …), as fetched
from the Hub; the outputs lie in ../shared/data/siglip-goldens beside the checkout.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import siglip_core
from siglip_core.encoder import Encoder

GOLDENS = Path(__file__).parents[3] / "shared/data/siglip-goldens"


def golden(name: str) -> Any:
    if not (GOLDENS / name).is_file():
        pytest.skip(f"../shared/data/siglip-goldens/{name} is not beside the checkout")
    return json.loads((GOLDENS / name).read_text())


def published(name: str) -> Encoder:
    weights = os.environ.get("SIGLIP_WEIGHTS")
    if weights is None or not (Path(weights) / name).is_dir():
        pytest.skip(f"SIGLIP_WEIGHTS names no folder with {name}")
    return siglip_core.load(Path(weights) / name)


def logits(model: Encoder, images: list[Image.Image], texts: list[str]) -> torch.Tensor:
    x_BE, y_BE = model.encode_image([model.preprocess(image) for image in images]), model.encode_text(texts)
    return model.logit_scale * x_BE @ y_BE.T + model.logit_bias


def test_naflex_circles() -> None:
    values = golden("hf_golden_logits.json")["siglip2-base-patch16-naflex, procedurally drawn circles (see test)"]
    images = [circle(width, height) for height, width in values["image_hw"]]
    ours = logits(published("siglip2-base-patch16-naflex"), images, values["texts"])
    # transformers' own test allows 1e-3 to its tensor resize; ours is Pillow's, up to one grey level away.
    torch.testing.assert_close(ours.T, torch.tensor(values["logits_per_text"]), rtol=0, atol=0.05)


def circle(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "red")
    radius = min(width // 2, height // 2) // 8 * 7
    box = (width // 2 - radius, height // 2 - radius, width // 2 + radius, height // 2 + radius)
    ImageDraw.Draw(image).ellipse(box, fill="blue", outline="green", width=width // 20)
    return image


def test_white_image() -> None:
    """No resampling can change it, so it tests the tower alone; its embedding was stored before normalisation."""
    values = golden("rn_siglip/validation.json")
    model = published("siglip2-base-patch16-224")
    pixels = model.preprocess((GOLDENS / "rn_siglip/white.png").read_bytes())
    wanted = torch.tensor([values["images"][0]["embedding"]])
    with torch.inference_mode():
        raw = model.module.image(torch.as_tensor(pixels)[None])
    torch.testing.assert_close(raw, wanted, rtol=0, atol=1e-3)


def test_siglip2_texts() -> None:
    model = published("siglip2-base-patch16-224")
    for text in golden("rn_siglip/validation.json")["texts"]:
        wanted = torch.tensor(text["embedding"])
        ours = model.encode_text([text["query"]])[0]
        torch.testing.assert_close(ours, wanted / wanted.norm(), rtol=0, atol=1e-4)


def test_siglip2_ids() -> None:
    """The published file does not lower-case; we do, so the text is given in lower case."""
    wanted = golden("hf_golden_logits.json")["siglip2 tokenizer (gemma)"]["Hello world"]
    model = published("siglip2-base-patch16-224")
    assert model.tokenizer is not None
    folded = model.tokenize(["Hello world"])[0]
    np.testing.assert_array_equal(folded, model.tokenize(["hello world"])[0])
    assert folded.tolist().count(1) == 1
    assert folded[3:].tolist() == [0] * 61
    assert len(wanted) == 4


def test_v1_ids() -> None:
    model = published("siglip-base-patch16-224")
    for section in golden("v1_token_golden.json").values():
        for text, ids in section.items() if isinstance(section, dict) else ():
            np.testing.assert_array_equal(model.tokenize([text])[0], ids + [1] * (64 - len(ids)))


@pytest.mark.parametrize(
    ("name", "scale", "bias"),
    [
        ("siglip-base-patch16-224", 117.330765, -12.932437),
        ("siglip-large-patch16-384", 118.2, -12.661875),
        ("siglip2-so400m-patch16-256", 109.9, -15.932409),
        ("siglip2-base-patch16-naflex", 115.302, -16.776989),
    ],
)
def test_learned_scale_and_bias(name: str, scale: float, bias: float) -> None:
    model = published(name)
    assert model.logit_scale == pytest.approx(scale, rel=1e-3)
    assert model.logit_bias == pytest.approx(bias, rel=1e-5)
