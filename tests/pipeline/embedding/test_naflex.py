"""A NaFlex model through the pipeline: photos of several shapes in one batch, each in its own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import siglip_core
from siglip_core import Spec, TextSpec, VisionSpec, checkpoint
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.variants import naflex_preprocessing
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet


@pytest.fixture(scope="module")
def naflex(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("naflex")
    vision = VisionSpec(width=32, depth=2, heads=2, mlp=64, patch_size=8, resolution=128, naflex=True)
    text = TextSpec(width=32, depth=1, heads=2, mlp=64, vocab_size=800, length=16, embedding_dim=32)
    checkpoint.save(initialise(Siglip(Spec("naflex", vision, text, naflex_preprocessing(8, 36))), 1), folder)
    (folder / "spiece.model").write_bytes((model / "spiece.model").read_bytes())
    return folder


def test_photos_of_several_shapes_get_the_models_own_vectors(tmp_path: Path, naflex: Path) -> None:
    images = [jpeg(index, size) for index, size in enumerate([(40, 30), (30, 90), (64, 64), (200, 20)])]
    write_parquet(tmp_path / "in.parquet", images, ["a", "b", "c", "d"])

    assert embed(tmp_path / "in.parquet", tmp_path / "t", naflex) == {("success", None): 4}

    encoder = siglip_core.load(naflex)
    shapes = {encoder.preprocess(image).shape for image in images}
    assert len(shapes) > 2
    for row in rows_of(tmp_path / "t").values():
        expected = encoder.encode_image([encoder.preprocess(images[row["source_row"]])])[0]
        np.testing.assert_allclose(row["image_vector"], expected, atol=1e-3)
