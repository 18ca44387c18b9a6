"""Mode "bv": images and texts as big_vision itself treats them."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import torch
import torch.nn.functional as F
from siglip_models import image_bytes, model_folder, photo, random_model, sentencepiece_model, spec

import siglip_core
from siglip_core import checkpoint
from siglip_core.resize import bilinear_without_antialias
from siglip_core.tokenizer import lower_ascii


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("modes") / "tiny", random_model(spec()))


@pytest.mark.parametrize("size", [(90, 60), (31, 200), (32, 32), (5, 7), (1, 1)])
def test_bilinear_without_antialias_equals_torchs(size: tuple[int, int]) -> None:
    image = np.asarray(photo(*size))
    ours = bilinear_without_antialias(image, 32)
    tensor = torch.tensor(image).permute(2, 0, 1)[None].double()
    wanted = F.interpolate(tensor, (32, 32), mode="bilinear", align_corners=False, antialias=False)
    difference = wanted[0].permute(1, 2, 0).numpy() - ours
    assert difference.min() > -0.01  # cut off, not rounded,
    assert difference.max() < 1.01
    assert (np.floor(wanted[0].permute(1, 2, 0).numpy() + 1e-3) == ours).mean() > 0.99  # apart from float32's last bits


def test_modes_differ_in_pixels_ids_and_identity(folder: Path) -> None:
    exact, bv = siglip_core.load(folder), siglip_core.load(folder, mode="bv")
    photograph = image_bytes(photo(300, 200))
    assert bv.spec.preprocessing.identity == "bv-bilinear-noaa.v1@32"
    assert bv.weights_digest == exact.weights_digest
    assert bv.tokenizer_digest != exact.tokenizer_digest
    assert np.abs(bv.preprocess(photograph).astype(int) - exact.preprocess(photograph)).mean() > 2
    assert bv.encode_image(bv.preprocess(photograph)[None]).shape == (1, 24)


def test_texts_keep_their_punctuation_and_accents(folder: Path) -> None:
    pieces = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    ids = pieces.encode("a red, É")
    assert siglip_core.load(folder, mode="bv").tokenize(["A RED, É"])[0].tolist() == ids + [1] * (16 - len(ids))
    assert lower_ascii("ABCzÉΣ!") == "abczÉΣ!"


def test_big_visions_resampling_has_no_name_in_a_published_config(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(siglip_core.CheckpointError, match="bv-bilinear-noaa"):
        checkpoint.save(siglip_core.load(folder, mode="bv").module, tmp_path)
