"""Thumbnails: of images that are turned, transparent or small, and as a column of a table."""

from __future__ import annotations

import io
from pathlib import Path

import lance
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import embed as command
from jobs import filter as filtering
from jobs import remove, verify
from pipeline import schema, search, table
from pipeline import verify as checks
from pipeline.errors import TableError, UsageError
from pipeline.stages.thumbnail import thumbnail
from siglip_core.preprocess import decode
from siglip_core.variants import Preprocessing
from tests.embedding import embed
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet

EXACT = Preprocessing("hf-bilinear-aa", 32)
FAST = Preprocessing("hf-bilinear-aa", 32, decoding="fast")
HALVES = Image.new("RGB", (300, 200), "red")
HALVES.paste("blue", (0, 0, 300, 100))


def as_bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def small(data: bytes, px: int, preprocessing: Preprocessing = EXACT) -> Image.Image:
    """The thumbnail of an image file, decoded."""
    made = Image.open(io.BytesIO(thumbnail(decode(data, preprocessing).picture, px)))
    assert (made.format, made.mode) == ("JPEG", "RGB")
    return made


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (97, 97), (2000, 3)])
def test_the_longest_side_has_the_pixels_that_were_asked_for(size: tuple[int, int]) -> None:
    made = small(as_bytes(Image.new("RGB", size), "PNG"), 64)
    assert max(made.size) == 64
    assert min(made.size) == max(1, round(min(size) * 64 / max(size)))


@pytest.mark.parametrize("preprocessing", [EXACT, FAST])
def test_a_large_jpeg_has_the_same_thumbnail_if_it_is_decoded_to_less(preprocessing: Preprocessing) -> None:
    made = small(as_bytes(HALVES.resize((3000, 2000)), "JPEG"), 64, preprocessing)
    assert made.size == (64, 43)
    top, bottom = made.getpixel((32, 5)), made.getpixel((32, 38))
    assert np.abs(np.subtract(top, (0, 0, 255))).max() < 12
    assert np.abs(np.subtract(bottom, (255, 0, 0))).max() < 12


def test_a_small_image_is_not_enlarged() -> None:
    assert small(as_bytes(Image.new("RGB", (40, 20)), "PNG"), 64).size == (40, 20)


def test_it_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    made = small(as_bytes(HALVES, "JPEG", exif=exif), 96)
    assert made.size == (64, 96)
    left, right = made.getpixel((8, 48)), made.getpixel((56, 48))
    assert left[0] > 200 > 60 > left[2]
    assert right[2] > 200 > 60 > right[0]


def test_what_is_transparent_is_white() -> None:
    made = small(as_bytes(Image.new("RGBA", (100, 100), (0, 0, 0, 0)), "PNG"), 50)
    assert made.getpixel((25, 25)) == (255, 255, 255)


def test_the_same_image_gives_the_same_bytes() -> None:
    data = as_bytes(HALVES, "JPEG")
    assert thumbnail(decode(data, EXACT).picture, 64) == thumbnail(decode(data, EXACT).picture, 64)


# columns of a table


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    images = [jpeg(row, size=(120, 80)) for row in (0, 0, 1)] + [b"broken"]
    return write_parquet(tmp_path / "in" / "a.parquet", images, ["x"] * 4)


def is_stored(path: Path) -> list[bool]:
    rows = rows_of(path)
    return [rows[place].get(schema.THUMBNAIL) is not None for place in sorted(rows)]


def test_embed_stores_them_on_request_and_changes_nothing_else(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "with", model, thumbnail_px=64)
    embed(photos.parent, tmp_path / "without", model)
    rows, others = rows_of(tmp_path / "with"), rows_of(tmp_path / "without")
    stored = [rows[place].pop(schema.THUMBNAIL) for place in sorted(rows)]
    assert_same_rows(rows, others)
    assert [row.keys() for row in rows.values()] == [row.keys() for row in others.values()]
    assert stored[0] == stored[1] != stored[2]
    assert stored[3] is None
    assert all(Image.open(io.BytesIO(data)).size == (64, 43) for data in stored[:3])
    assert schema.thumbnail_px(lance.dataset(f"{tmp_path / 'with'}.lance").schema) == 64


def test_a_table_without_them_gets_them_for_new_rows(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model)
    write_parquet(photos.parent / "b.parquet", [jpeg(2)], ["x"])
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    assert is_stored(tmp_path / "t") == [False, False, False, False, True]
    assert schema.thumbnail_px(lance.dataset(f"{tmp_path / 't'}.lance").schema) == 64


def test_a_table_that_has_them_keeps_getting_them(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    write_parquet(photos.parent / "b.parquet", [jpeg(2, size=(120, 80))], ["x"])
    embed(photos.parent, tmp_path / "t", model)
    assert is_stored(tmp_path / "t") == [True, True, True, False, True]
    last = rows_of(tmp_path / "t")["b.parquet", 0][schema.THUMBNAIL]
    assert Image.open(io.BytesIO(last)).size == (64, 43)


def test_another_size_than_the_tables_is_refused(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    write_parquet(photos.parent / "b.parquet", [jpeg(2)], ["x"])
    with pytest.raises(UsageError, match=r"made with --thumbnail-px 64, but this run has --thumbnail-px 96"):
        embed(photos.parent, tmp_path / "t", model, thumbnail_px=96)


def test_rows_that_are_replaced_get_them(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model)
    write_parquet(photos, [jpeg(row) for row in (0, 1, 2, 3)], ["y"] * 4)
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64, replace_changed=True)
    assert is_stored(tmp_path / "t") == [True] * 4


def test_rejected_rows_that_are_retried_get_them(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64, max_pixels=100)
    assert is_stored(tmp_path / "t") == [False] * 4
    embed(photos.parent, tmp_path / "t", model, retry_rejected=())
    assert is_stored(tmp_path / "t") == [True, True, True, False]


def test_a_row_without_an_image_has_none(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0), None], ["x", "y"])
    embed(tmp_path / "in", tmp_path / "t", model, thumbnail_px=64, allow_missing=True)
    assert is_stored(tmp_path / "t") == [True, False]


def test_a_finished_table_says_that_its_rows_have_none(
    photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos.parent, tmp_path / "t", model)
    options = ["--input", str(photos.parent), "--table", str(tmp_path / "t"), "--model", str(model), "--local"]
    assert command.main([*options, "--thumbnail-px", "64", "--image-statistics"]) == 0
    told = "the 4 rows that were in the table already have no image statistics and no thumbnails"
    assert told in capfd.readouterr().err


@pytest.mark.parametrize("px", ["31", "513", "0"])
def test_sizes_out_of_range_are_refused(
    px: str, photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--input", str(photos.parent), "--table", str(tmp_path / "t"), "--model", str(model), "--local"]
    assert command.main([*options, "--thumbnail-px", px]) == 2
    assert "--thumbnail-px" in capfd.readouterr().err


def test_a_column_of_the_source_with_that_name_is_kept_under_another(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["x"], thumbnail=["their own"])
    embed(tmp_path / "in", tmp_path / "t", model, thumbnail_px=64, keep_cols=("thumbnail",))
    (row,) = rows_of(tmp_path / "t").values()
    assert row["source_thumbnail"] == "their own"
    assert row[schema.THUMBNAIL] is not None


def test_a_column_that_another_program_added_under_that_name_is_refused(
    photos: Path, tmp_path: Path, model: Path
) -> None:
    embed(photos.parent, tmp_path / "t", model)
    lance.dataset(f"{tmp_path / 't'}.lance").add_columns({schema.THUMBNAIL: "cast('their own' as string)"})
    write_parquet(photos.parent / "b.parquet", [jpeg(2)], ["x"])
    with pytest.raises((UsageError, TableError), match="thumbnail"):
        embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)


def test_a_removed_pair_has_none_and_a_purge_deletes_its_bytes(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    gone = rows_of(tmp_path / "t")["a.parquet", 2][schema.THUMBNAIL]
    where = ["--table", str(tmp_path / "t"), "--where", "source_row = 2"]
    assert remove.main([*where, "--purge", "--yes"]) == 0
    assert is_stored(tmp_path / "t") == [True, True, False, False]
    files = [file.read_bytes() for file in (tmp_path / "t.lance").rglob("*") if file.is_file()]
    assert not any(gone in content for content in files)
    kept = rows_of(tmp_path / "t")["a.parquet", 0][schema.THUMBNAIL]
    assert any(kept in content for content in files), "bytes are found where they are"


def test_one_that_another_program_left_in_a_removed_row_is_found_and_purged(
    photos: Path, tmp_path: Path, model: Path
) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    gone = rows_of(tmp_path / "t")["a.parquet", 2][schema.THUMBNAIL]
    nothing = dict.fromkeys(("caption", "image_vector", "text_vector"), "NULL")
    lance.dataset(f"{tmp_path / 't'}.lance").update({"status": "'removed'", **nothing}, "source_row = 2")
    run = ["--table", str(tmp_path / "t")]
    report = checks.verify(checks.VerifyOptions(table=run[1]))
    assert [(problem.check, problem.count) for problem in report.problems] == [("thumbnails", 1)]
    assert verify.main([*run, "--repair"]) == 0
    assert is_stored(tmp_path / "t") == [True, True, False, False]
    assert remove.main([*run, "--purge", "--yes"]) == 0
    files = [file.read_bytes() for file in (tmp_path / "t.lance").rglob("*") if file.is_file()]
    assert not any(gone in content for content in files)


@pytest.mark.parametrize("more", [[], ["--with-images"], ["--output-format", "webdataset"]])
def test_a_filter_does_not_copy_them(more: list[str], photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64, score=True)
    images = ["--input", str(photos.parent)] if more else []
    run = ["--table", str(tmp_path / "t"), "--output", str(tmp_path / "out"), "--top-fraction", "1"]
    assert filtering.main([*run, *more, *images]) == 0
    stored = rows_of(tmp_path / "t")["a.parquet", 2][schema.THUMBNAIL]
    written = [file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert written
    assert not any(stored in content or stored.hex().encode() in content for content in written)
    for file in (tmp_path / "out").glob("*.parquet"):
        assert schema.THUMBNAIL not in pq.read_schema(file).names


def test_hits_have_them_only_if_asked(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    opened = search.open(tmp_path / "t")
    assert opened.by_text("x", k=1)[0].columns == {}
    hit = opened.by_text("x", k=1, columns=[schema.THUMBNAIL])[0]
    assert Image.open(io.BytesIO(hit.columns[schema.THUMBNAIL])).size == (64, 43)
    assert table.open_table(table.parse(str(tmp_path / "t"))).count() == 4
