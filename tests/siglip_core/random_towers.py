"""Random towers of several shapes, and their embeddings: for tests of layers that compute the same in another way."""

import pytest
import torch
from siglip_models import naflex_spec, random_model, spec
from torch import Tensor

from siglip_core import Preprocessing, Spec, TextSpec, VisionSpec
from siglip_core.model import Siglip


def wide_spec() -> Spec:
    """Heads of 72 numbers, whose scale is no power of two; 49 patches and a remainder of 4 pixels, as in So400m."""
    vision = VisionSpec(width=144, depth=2, heads=2, mlp=200, patch_size=4, resolution=30)
    text = TextSpec(width=144, depth=3, heads=2, mlp=200, vocab_size=400, length=8, embedding_dim=144)
    return Spec("wide", vision, text, Preprocessing("hf-bicubic-aa", 30))


def towers(of: Spec, dtype: torch.dtype) -> Siglip:
    return random_model(of).eval().requires_grad_(False).to(dtype)


@torch.inference_mode()
def encode(model: Siglip, count: int) -> tuple[Tensor, Tensor]:
    """Embeddings of images and of texts, in float32."""
    generator = torch.Generator().manual_seed(count)
    vision, text = model.spec.vision, model.spec.text
    tokens_BL = torch.randint(0, text.vocab_size, (count, text.length), generator=generator)
    grids = [(1 + place % 4, 1 + place % 3) if vision.naflex else (vision.grid, vision.grid) for place in range(count)]
    rest = vision.resolution % vision.patch_size  # pixels that belong to no patch
    images = [
        torch.randint(0, 256, (*(side * vision.patch_size + rest for side in grid), 3), generator=generator)
        for grid in grids
    ]
    images = [image.to(torch.uint8) for image in images]
    image_BE = model.image.naflex(images) if vision.naflex else model.image(torch.stack(images))
    return image_BE.float(), model.text(tokens_BL).float()


SPECS = pytest.mark.parametrize("of", [spec(), naflex_spec(), wide_spec()], ids=lambda of: of.name)
