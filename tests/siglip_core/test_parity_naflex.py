"""NaFlex against transformers: Siglip2Model's outputs and Siglip2ImageProcessor's patches, for every aspect ratio."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from siglip_models import naflex_spec, pair_logits, photo, random_model
from transformers import Siglip2ImageProcessorPil, Siglip2Model

import siglip_core
import siglip_core.preprocess
from siglip_core import SiglipError, checkpoint
from siglip_core.resize import naflex_size
from siglip_core.variants import PUBLISHED

TOLERANCE = 1e-5
SIZES = [(60, 60), (200, 30), (17, 190), (8, 8), (1, 400), (333, 250)]


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("naflex")
    checkpoint.save(random_model(naflex_spec()), folder)
    return folder


def test_outputs_equal_transformers(folder: Path) -> None:
    ours = siglip_core.load(folder)
    theirs = Siglip2Model.from_pretrained(folder)
    processor = Siglip2ImageProcessorPil.from_pretrained(folder)
    images = [photo(*size) for size in SIZES]
    tokens = torch.randint(0, 400, (3, 16), generator=torch.Generator().manual_seed(1))
    inputs = processor(images, return_tensors="pt")
    mask = inputs["pixel_attention_mask"]
    assert 0 < mask.sum(dim=1).min() < mask.shape[1]  # padding is there to be masked

    pixels = [ours.preprocess(image) for image in images]
    for values, image in zip(inputs["pixel_values"], pixels, strict=True):
        mine = torch.as_tensor(patches(image, 8)) / 127.5 - 1
        assert (values[: len(mine)] - mine).abs().max() <= 1.001 / 127.5  # at most one grey level,
        values[: len(mine)] = mine  # which would count below
    with torch.inference_mode():
        out = theirs(input_ids=tokens, **inputs)
        image = ours.module.image.naflex([torch.as_tensor(image) for image in pixels])
        text = ours.module.text(tokens)
    wanted = out.vision_model_output.pooler_output
    assert (wanted[0] - wanted[1]).abs().max() > 0.1
    assert (image - wanted).abs().max() < TOLERANCE
    assert (text - out.text_model_output.pooler_output).abs().max() < TOLERANCE
    logits = pair_logits(ours, ours.encode_image(pixels), ours.encode_text(tokens))
    assert (logits - out.logits_per_image).abs().max() < TOLERANCE


@pytest.mark.parametrize("size", [*SIZES, (640, 480), (20000, 1), (224, 1024), (4000, 3000)])
def test_pixels_equal_transformers(size: tuple[int, int]) -> None:
    preprocessing = PUBLISHED["google/siglip2-base-patch16-naflex"].preprocessing
    image = photo(*size) if size[0] * size[1] < 90_000 else photo(100, 75).resize(size)
    theirs = Siglip2ImageProcessorPil()(image, return_tensors="np")
    ours = siglip_core.preprocess.from_pil(image, preprocessing).pixels
    rows, columns = theirs["spatial_shapes"][0]
    assert ours.shape == (rows * 16, columns * 16, 3)
    wanted = (theirs["pixel_values"][0][: rows * columns] + 1) * 127.5
    assert np.abs(patches(ours, 16) - wanted).max() <= 1.001  # at most one grey level


def patches(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """[H, W, 3] -> [L, side * side * 3], row by row."""
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    return pixels.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(rows * columns, -1)


def test_a_vector_does_not_depend_on_its_batch(folder: Path) -> None:
    model = siglip_core.load(folder)
    pixels = [model.preprocess(photo(*size)) for size in SIZES]
    whole = model.encode_image(pixels)
    for i, image in enumerate(pixels):
        torch.testing.assert_close(model.encode_image([image])[0], whole[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((8, 9, 3), "multiples of 8"), ((48, 32, 3), "at most 20 patches"), ((1, 8, 8, 3), "uint8"), ((0, 8, 3), "uint8")],
)
def test_images_of_another_form_are_refused(folder: Path, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(SiglipError, match=message):
        siglip_core.load(folder).encode_image([np.zeros(shape, np.uint8)])


def test_patches_are_used_up_but_never_exceeded() -> None:
    for height in (20, 30, 100, 999, 5000):
        for width in (20, 64, 700, 4321):
            rows, columns = (side // 16 for side in naflex_size(height, width, 16, 256))
            assert 1 <= rows * columns <= 256
            assert (rows + 1) * (columns + 1) > 256
