"""Statistics of images: of pixels whose statistics are known, and as columns of a table."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from jobs import embed as command
from pipeline import schema, table
from pipeline.stages.image_statistics import image_statistics
from tests.embedding import embed
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet

NOISE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def measured(pixels: np.ndarray) -> dict[str, float]:
    return {name.removeprefix("image_"): value for name, value in image_statistics(pixels).items()}


def test_they_are_the_numbers_of_their_definitions() -> None:
    luma = np.asarray(Image.fromarray(NOISE).convert("L"))
    shares = np.bincount(luma.ravel()) / luma.size
    found = measured(NOISE)
    inside = cv2.Laplacian(luma, cv2.CV_64F)[1:-1, 1:-1]
    assert found["sharpness"] == pytest.approx(inside.var(), rel=1e-4)
    assert found["brightness"] == pytest.approx(luma.mean() / 255)
    assert found["contrast"] == pytest.approx(luma.std() / 255)
    assert found["entropy"] == pytest.approx(-sum(p * np.log2(p) for p in shares if p))
    assert found["border"] == 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_of_one_colour_is_all_border(level: int) -> None:
    found = measured(np.full((32, 48, 3), level, np.uint8))
    expected = {"sharpness": 0, "brightness": level / 255, "contrast": 0, "entropy": 0, "border": 1}
    assert found == pytest.approx(expected, abs=1e-6)


def test_blurred_dark_and_nearly_empty_images_stand_out() -> None:
    sharp = Image.fromarray(NOISE)
    blurred = measured(np.asarray(sharp.filter(ImageFilter.GaussianBlur(3))))
    assert blurred["sharpness"] < measured(NOISE)["sharpness"] / 100
    assert measured(NOISE // 8)["brightness"] < 0.08
    empty = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(empty).rectangle((40, 30, 46, 34), fill="black")
    assert measured(np.asarray(empty))["entropy"] < 0.1


BORDERS = {
    "bars above and below": ((slice(0, 8), slice(None)), (slice(56, 64), slice(None)), 16 / 64),
    "bars at the sides": ((slice(None), slice(0, 12)), (slice(None), slice(90, 96)), 18 / 96),
    "one bar": ((slice(0, 16), slice(None)), (slice(0, 1), slice(None)), 16 / 64),
    "two colours": ((slice(0, 16), slice(None)), None, 16 / 64),
    "a line inside": ((slice(20, 40), slice(None)), (slice(20, 40), slice(None)), 0),
}


@pytest.mark.parametrize("name", BORDERS)
def test_the_border_is_the_share_of_rows_and_columns_of_one_colour(name: str) -> None:
    first, second, share = BORDERS[name]
    pixels = NOISE.copy()
    pixels[first] = 20
    if second is not None:
        pixels[second] = 20
    assert measured(pixels)["border"] == pytest.approx(share)


def test_what_jpeg_adds_to_a_border_does_not_hide_it() -> None:
    buffer = BytesIO()
    pixels = np.kron(NOISE[:8, :12], np.ones((16, 16, 1), np.uint8))
    pixels[:32] = 12
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    found = measured(np.asarray(Image.open(buffer).convert("RGB")))
    assert found["border"] == pytest.approx(32 / 128, abs=0.02)


# columns of a table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_parquet(tmp_path / "in" / "a.parquet", [jpeg(row) for row in (0, 0, 1)] + [b"broken"], ["x"] * 4)


def statistics(path: Path) -> list[tuple[Any, ...]]:
    rows = rows_of(path)
    return [tuple(rows[place].get(name) for name in schema.IMAGE_STATISTICS) for place in sorted(rows)]


def is_filled(path: Path) -> list[bool]:
    found = statistics(path)
    assert all(len({value is None for value in row}) == 1 for row in found)
    return [None not in row for row in found]


def test_embed_fills_them_on_request_and_changes_nothing_else(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "with", model, image_statistics=True)
    embed(photos.parent, tmp_path / "without", model)
    assert is_filled(tmp_path / "with") == [True, True, True, False]
    first, second, other, _ = statistics(tmp_path / "with")
    assert first == second != other
    expected = table.open_table(table.parse(str(tmp_path / "without"))).schema
    there = table.open_table(table.parse(str(tmp_path / "with"))).schema
    assert [name for name in there.names if name not in schema.IMAGE_STATISTICS] == expected.names
    assert_same_rows(rows_of(tmp_path / "with"), rows_of(tmp_path / "without"))


def test_they_are_those_of_the_pixels_that_the_model_sees(photos: Path, tmp_path: Path, model: Path) -> None:
    import siglip_core
    from siglip_core.preprocess import decode

    embed(photos.parent, tmp_path / "t", model, image_statistics=True)
    seen = decode(jpeg(1), siglip_core.spec(str(model)).preprocessing).pixels
    assert statistics(tmp_path / "t")[2] == pytest.approx(tuple(image_statistics(seen).values()), rel=1e-6)


def test_a_table_without_them_gets_them_for_new_rows(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model)
    write_parquet(photos.parent / "b.parquet", [jpeg(2)], ["x"])
    embed(photos.parent, tmp_path / "t", model, image_statistics=True)
    assert is_filled(tmp_path / "t") == [False, False, False, False, True]


def test_a_table_that_has_them_keeps_getting_them(photos: Path, tmp_path: Path, model: Path) -> None:
    """So rows with and without are not mixed by an option that was forgotten."""
    embed(photos.parent, tmp_path / "t", model, image_statistics=True)
    write_parquet(photos.parent / "b.parquet", [jpeg(2)], ["x"])
    embed(photos.parent, tmp_path / "t", model)
    assert is_filled(tmp_path / "t") == [True, True, True, False, True]


def test_rows_that_are_replaced_get_them(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model)
    write_parquet(photos, [jpeg(row) for row in (0, 1, 2, 3)], ["y"] * 4)
    embed(photos.parent, tmp_path / "t", model, image_statistics=True, replace_changed=True)
    assert is_filled(tmp_path / "t") == [True] * 4


def test_a_dry_run_adds_no_column(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model)
    write_parquet(photos.parent / "b.parquet", [jpeg(2)], ["x"])
    before = table.open_table(table.parse(str(tmp_path / "t"))).version
    options = ["--input", str(photos.parent), "--table", str(tmp_path / "t"), "--model", str(model), "--dry-run"]
    assert command.main([*options, "--image-statistics"]) == 0
    assert table.open_table(table.parse(str(tmp_path / "t"))).version == before


def test_a_finished_table_says_that_its_rows_have_none(
    photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos.parent, tmp_path / "t", model)
    options = ["--input", str(photos.parent), "--table", str(tmp_path / "t"), "--model", str(model), "--local"]
    assert command.main([*options, "--image-statistics"]) == 0
    assert "the 4 rows that were in the table already have no image statistics" in capfd.readouterr().err
    assert is_filled(tmp_path / "t") == [False] * 4


def test_a_column_of_the_source_with_such_a_name_is_kept_under_another(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["x"], image_entropy=[5])
    embed(tmp_path / "in", tmp_path / "t", model, image_statistics=True, keep_cols=("image_entropy",))
    (row,) = rows_of(tmp_path / "t").values()
    assert row["source_image_entropy"] == 5
    assert row["image_entropy"] != 5
