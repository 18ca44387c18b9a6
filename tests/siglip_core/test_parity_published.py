"""Every published architecture against transformers: real widths, heads and token counts, one block a tower."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from siglip_models import pair_logits, random_model
from transformers import AutoModel

import siglip_core
from siglip_core import Spec, checkpoint
from siglip_core.variants import PUBLISHED

TOLERANCE = 1e-5


def reduced(spec: Spec) -> Spec:
    """One block a tower and 64 tokens; resampling is no part of the towers."""
    vision, text = replace(spec.vision, depth=1), replace(spec.text, depth=1, vocab_size=64)
    preprocessing = spec.preprocessing if spec.vision.naflex else replace(spec.preprocessing, name="hf-bicubic-aa")
    return Spec("", vision, text, preprocessing)


# SigLIP and SigLIP 2 share most architectures: each is computed once, under the name of its first model.
ARCHITECTURES = {reduced(spec): name.removeprefix("google/") for name, spec in reversed(PUBLISHED.items())}


def test_no_published_model_is_left_out() -> None:
    assert {reduced(spec) for spec in PUBLISHED.values()} == set(ARCHITECTURES)
    assert len(ARCHITECTURES) == 18


@pytest.mark.parametrize("spec", ARCHITECTURES, ids=ARCHITECTURES.values())
def test_outputs_equal_transformers(spec: Spec, tmp_path: Path) -> None:
    checkpoint.save(random_model(spec), tmp_path)
    ours = siglip_core.load(tmp_path)
    assert ours.spec == replace(spec, name=tmp_path.name)
    generator = torch.Generator().manual_seed(5)
    size = spec.vision.resolution
    images = torch.randint(0, 256, (1, size, size, 3), generator=generator, dtype=torch.uint8)
    tokens = torch.randint(0, 64, (1, spec.text_length), generator=generator)
    with torch.inference_mode():
        out = AutoModel.from_pretrained(tmp_path)(input_ids=tokens, **pixels_for_transformers(images, spec))
        image, text = ours.module.image(images), ours.module.text(tokens)
    assert (image - out.vision_model_output.pooler_output).abs().max() < TOLERANCE
    assert (text - out.text_model_output.pooler_output).abs().max() < TOLERANCE
    logits = pair_logits(ours, ours.encode_image(list(images)), ours.encode_text(tokens))
    assert (logits - out.logits_per_image).abs().max() < TOLERANCE


def pixels_for_transformers(images: torch.Tensor, spec: Spec) -> dict[str, torch.Tensor]:
    pixels = (images.float() / 255 - 0.5) / 0.5
    if not spec.vision.naflex:
        return {"pixel_values": pixels.permute(0, 3, 1, 2)}
    patch, grid = spec.vision.patch_size, spec.vision.grid
    patches = pixels.reshape(1, grid, patch, grid, patch, 3).transpose(2, 3).reshape(1, grid * grid, -1)
    return {
        "pixel_values": patches,
        "pixel_attention_mask": torch.ones(1, grid * grid, dtype=torch.int32),
        "spatial_shapes": torch.tensor([[grid, grid]]),
    }
