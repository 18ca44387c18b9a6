"""A table made with `--preprocessing fast`: every command that reads images for it decodes them as it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import siglip_core
from pipeline import search, table
from pipeline.errors import IdentityError
from pipeline.verify import VerifyOptions, verify
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet

SIZE = (640, 480)
"""More than four times the model's resolution of 96: an exact and a fast decode differ."""
JPEGS = [jpeg(seed, SIZE) for seed in range(4)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_parquet(tmp_path / "in.parquet", JPEGS, ["a dog", "a cat", "the sea", "a bird"])


@pytest.fixture
def fast(photos: Path, tmp_path: Path, model: Path) -> Path:
    embed(photos, tmp_path / "fast", model, preprocessing="fast", vector_dtype="float32")
    return tmp_path / "fast"


def vectors(place: Path) -> np.ndarray:
    return np.array([row["image_vector"] for _, row in sorted(rows_of(place).items())], np.float32)


def test_vectors_are_those_of_the_fast_pixels_and_sizes_are_the_originals(fast: Path, model: Path) -> None:
    loaded = siglip_core.load(model, preprocessing="fast")
    wanted = loaded.encode_image(np.stack([loaded.preprocess(image) for image in JPEGS])).numpy()
    np.testing.assert_allclose(vectors(fast), wanted, atol=1e-5)
    assert {(row["original_width"], row["original_height"]) for row in rows_of(fast).values()} == {SIZE}
    assert table.open_table(table.parse(str(fast))).identity.preprocessing == "hf-bicubic-aa+fast1.v1@96"
    exact = siglip_core.load(model)
    assert any((loaded.preprocess(image) != exact.preprocess(image)).any() for image in JPEGS)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            "exact",
            "fast",
            r"with preprocessing hf-bicubic-aa\.v1@96 .* preprocessing hf-bicubic-aa\+fast1\.v1@96 .*exact\)",
        ),
        (
            "fast",
            "exact",
            r"with preprocessing hf-bicubic-aa\+fast1\.v1@96 .* hf-bicubic-aa\.v1@96 .*\(--preprocessing fast\)",
        ),
    ],
)
def test_a_table_keeps_to_one(first: str, second: str, message: str, photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos, tmp_path / "t", model, preprocessing=first, limit=2)
    with pytest.raises(IdentityError, match=message):
        embed(photos, tmp_path / "t", model, preprocessing=second)
    embed(photos, tmp_path / "t", model, preprocessing=first)
    assert len(rows_of(tmp_path / "t")) == len(JPEGS)


def test_a_search_by_image_decodes_as_the_table(fast: Path) -> None:
    for row, image in enumerate(JPEGS):
        hit = search.open(str(fast)).by_image(image, k=1)[0]
        assert rows_of(fast)["in.parquet", row]["uid"] == hit.uid
        assert hit.cosine == pytest.approx(1, abs=1e-5)


def test_verify_embeds_again_as_the_table(fast: Path, photos: Path) -> None:
    report = verify(VerifyOptions.model_validate({"table": str(fast), "input": str(photos), "sample": len(JPEGS)}))
    assert (report.problems, report.sampled) == ([], len(JPEGS))
