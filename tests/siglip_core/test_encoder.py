"""The loaded model: what it takes, what it gives, what it refuses."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from siglip_models import image_bytes, model_folder, photo, random_model, spec

import siglip_core
from siglip_core import SiglipError, TokenizerError
from siglip_core.encoder import Encoder


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "tiny", random_model(spec()))


@pytest.fixture(scope="module", name="model")
def _model(folder: Path) -> Encoder:
    return siglip_core.load(folder)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
TEXTS = ["a photo of two cats", "a red apple", ""]


def test_vectors_are_float32_and_unit(model: Encoder) -> None:
    for z_BE in (model.encode_image(IMAGES), model.encode_text(TEXTS)):
        assert z_BE.shape == (3, model.spec.embedding_dim)
        assert z_BE.dtype == torch.float32
        assert not z_BE.requires_grad
        torch.testing.assert_close(z_BE.norm(dim=1), torch.ones(3))
        assert (z_BE @ z_BE.T).fill_diagonal_(0).max() < 0.999


def test_numpy_and_torch_give_the_same(model: Encoder) -> None:
    torch.testing.assert_close(model.encode_image(torch.from_numpy(IMAGES)), model.encode_image(IMAGES), rtol=0, atol=0)
    tokens_BL = model.tokenize(TEXTS)
    for given in (tokens_BL, torch.from_numpy(tokens_BL)):
        torch.testing.assert_close(model.encode_text(given), model.encode_text(TEXTS), rtol=0, atol=0)


def test_a_vector_does_not_depend_on_its_batch(model: Encoder) -> None:
    whole = model.encode_image(IMAGES)
    for i in range(3):
        torch.testing.assert_close(model.encode_image(IMAGES[i : i + 1])[0], whole[i], rtol=0, atol=1e-6)


def test_empty_batches(model: Encoder) -> None:
    assert model.encode_image(IMAGES[:0]).shape == (0, 24)
    assert model.encode_text([]).shape == (0, 24)


def test_half_precision_is_near_and_comes_out_in_float32(folder: Path, model: Encoder) -> None:
    half = siglip_core.load(folder, dtype="bfloat16")
    z_BE = half.encode_image(IMAGES)
    assert z_BE.dtype == torch.float32
    assert torch.linalg.vecdot(z_BE, model.encode_image(IMAGES)).min() > 0.999
    assert (half.logit_scale, half.logit_bias) == (model.logit_scale, model.logit_bias)


def test_scale_and_bias(model: Encoder) -> None:
    assert model.logit_scale == pytest.approx(np.exp(np.float32(4.7)), rel=1e-6)
    assert model.logit_bias == pytest.approx(-12.9, rel=1e-6)


def test_preprocess_makes_what_encode_image_takes(model: Encoder) -> None:
    pixels = model.preprocess(image_bytes(photo()))
    np.testing.assert_array_equal(model.preprocess(photo()), pixels)
    assert model.encode_image(pixels[None]).shape == (1, 24)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float32), "float32"),
        (IMAGES[:, :16], r"\[3, 16, 32, 3\]"),
        (IMAGES.transpose(0, 3, 1, 2), r"\[3, 3, 32, 32\]"),
        (IMAGES[0], r"uint8 \[B, 32, 32, 3\]"),
    ],
)
def test_images_of_another_form_are_refused(model: Encoder, images: np.ndarray, message: str) -> None:
    with pytest.raises(SiglipError, match=message):
        model.encode_image(images)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.ones((2, 15), np.int64), r"\[2, 15\]"),
        (np.ones((2, 16), np.float32), "float32"),
        (np.full((2, 16), 400), "from 400 to 400"),
        (np.full((2, 16), -1), "from -1 to -1"),
    ],
)
def test_token_ids_of_another_form_are_refused(model: Encoder, tokens: np.ndarray, message: str) -> None:
    with pytest.raises(SiglipError, match=message):
        model.encode_text(tokens)


def test_one_string_is_not_a_list_of_letters(model: Encoder) -> None:
    with pytest.raises(TokenizerError, match="list of str"):
        model.encode_text("a photo")  # type: ignore[arg-type]


def test_a_folder_without_tokenizer_refuses_only_strings(tmp_path: Path, model: Encoder) -> None:
    silent = siglip_core.load(model_folder(tmp_path / "mute", random_model(spec()), with_tokenizer=False))
    assert silent.tokenizer_digest is None
    assert model.tokenizer_digest is not None
    tokens_BL = model.tokenize(TEXTS)
    torch.testing.assert_close(silent.encode_text(tokens_BL), model.encode_text(TEXTS), rtol=0, atol=0)
    with pytest.raises(SiglipError, match=r"mute has no tokenizer.*spiece.model"):
        silent.encode_text(["a photo"])


def test_numbers_that_are_not_finite_never_come_out(tmp_path: Path) -> None:
    model = random_model(spec())
    with torch.no_grad():
        model.image.head.probe[0, 0, 0] = torch.nan
    broken = siglip_core.load(model_folder(tmp_path, model, with_tokenizer=False))
    with pytest.raises(SiglipError, match="not finite"):
        broken.encode_image(IMAGES)


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [("cpu", "float64", "float64"), ("cpu", "half-float", "half-float"), ("abacus", "float32", "abacus")],
)
def test_device_and_dtype_are_never_replaced(folder: Path, device: str, dtype: str, message: str) -> None:
    with pytest.raises(SiglipError, match=message):
        siglip_core.load(folder, device=device, dtype=dtype)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_absent_gpu_is_an_error(folder: Path) -> None:
    with pytest.raises(SiglipError, match="'cuda' cannot be used"):
        siglip_core.load(folder, device="cuda")


def test_what_must_import_lightly_does(folder: Path) -> None:
    code = (
        "import sys, siglip_core, siglip_core.preprocess, siglip_core.similarity; "
        f"siglip_core.spec({str(folder)!r}); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
