"""Our towers against transformers' SiglipModel, on the same random weights, before normalisation."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from siglip_models import pair_logits, random_model
from transformers import SiglipModel

import siglip_core
from siglip_core import Preprocessing, Spec, TextSpec, VisionSpec, checkpoint

TOLERANCE = 1e-5  # float32, unnormalised outputs of order 1

B16 = Spec(
    "base-patch16-224",
    VisionSpec(width=768, depth=12, heads=12, mlp=3072, patch_size=16, resolution=224),
    TextSpec(width=768, depth=12, heads=12, mlp=3072, vocab_size=32000, length=64, embedding_dim=768),
    Preprocessing("hf-bicubic-aa", 224),
)
# Widths and heads of the published base model, of which one block does what the next one does.
SHALLOW_B16 = replace(
    B16,
    name="shallow-base-patch16-224",
    vision=replace(B16.vision, depth=2),
    text=replace(B16.text, depth=2, vocab_size=1000),
)
HEAD_DIM_72 = Spec(
    "head-dim-72",
    VisionSpec(width=144, depth=3, heads=2, mlp=538, patch_size=14, resolution=62),
    TextSpec(width=144, depth=3, heads=2, mlp=538, vocab_size=500, length=16, embedding_dim=144),
    Preprocessing("hf-bicubic-aa", 62),
)
UNEQUAL_TOWERS = Spec(
    "unequal-towers",
    VisionSpec(width=192, depth=5, heads=2, mlp=768, patch_size=16, resolution=64),
    TextSpec(width=96, depth=2, heads=6, mlp=200, vocab_size=700, length=24, embedding_dim=192),
    Preprocessing("hf-bicubic-aa", 64),
)


@pytest.mark.parametrize("spec", [SHALLOW_B16, HEAD_DIM_72, UNEQUAL_TOWERS], ids=lambda spec: spec.name)
def test_outputs_equal_transformers(spec: Spec, tmp_path: Path) -> None:
    checkpoint.save(random_model(spec), tmp_path)
    theirs = SiglipModel.from_pretrained(tmp_path)
    ours = siglip_core.load(tmp_path)
    size = spec.vision.resolution
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (2, size, size, 3), generator=generator, dtype=torch.uint8)
    tokens = torch.randint(0, spec.vocab_size, (2, spec.text_length), generator=generator)
    pixels = (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5

    with torch.inference_mode():
        out = theirs(input_ids=tokens, pixel_values=pixels)
        image, text = ours.module.image(images), ours.module.text(tokens)

    # Two inputs must give clearly different vectors, or equality would say little.
    for wanted in (out.vision_model_output.pooler_output, out.text_model_output.pooler_output):
        assert (wanted[0] - wanted[1]).abs().max() > 0.1
    assert (image - out.vision_model_output.pooler_output).abs().max() < TOLERANCE
    assert (text - out.text_model_output.pooler_output).abs().max() < TOLERANCE

    logits = pair_logits(ours, ours.encode_image(images), ours.encode_text(tokens))
    assert (logits - out.logits_per_image).abs().max() < TOLERANCE


def test_config_without_defaults_is_base_16_224(tmp_path: Path) -> None:
    """transformers' published configs leave out what equals its defaults, down to nothing at all."""
    (tmp_path / "config.json").write_text('{"model_type": "siglip", "text_config": {}, "vision_config": {}}')
    assert siglip_core.spec(tmp_path) == replace(B16, name=tmp_path.name)
