"""Pages that show images, of a table that stores thumbnails: with and without the input that it was made from."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs import label, query, report
from pipeline import schema
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet

PHOTOS = 40


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An input of photos, of which each is larger than its thumbnail."""
    images = [jpeg(row, size=(600, 400)) for row in range(PHOTOS)]
    return write_parquet(tmp_path / "in" / "a.parquet", images, [f"photo {row}" for row in range(PHOTOS)])


def shown(page: str) -> list[bytes]:
    return [b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


def stored(path: Path) -> set[bytes]:
    return {row[schema.THUMBNAIL] for row in rows_of(path).values()}


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _page: True)


def hits_page(capfd: pytest.CaptureFixture[str], *options: object) -> str:
    capfd.readouterr()
    assert query.main([*map(str, options), "--open", "--json"]) == 0
    return Path(json.loads(capfd.readouterr().out)["page"]).read_text("utf-8")


def test_a_page_of_hits_shows_them_without_the_input(
    photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    photos.unlink()
    found = shown(hits_page(capfd, "--table", tmp_path / "t", "--text", "photo 1", "-k", 3))
    assert len(found) == 3
    assert set(found) <= stored(tmp_path / "t")


def test_rows_that_store_none_are_read_from_the_input(
    photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos.parent, tmp_path / "t", model, limit=PHOTOS // 2)
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    run = ["--table", tmp_path / "t", "--text", "photo 1", "-k", PHOTOS]
    without = hits_page(capfd, *run)
    assert len(shown(without)) == PHOTOS // 2
    assert without.count("the table stores no thumbnail of this row, and no --input was given") == PHOTOS // 2
    sizes = [Image.open(io.BytesIO(data)).size for data in shown(hits_page(capfd, *run, "--input", photos.parent))]
    assert sorted(max(size) for size in sizes) == [64] * (PHOTOS // 2) + [245] * (PHOTOS // 2)


def test_hits_do_not_have_the_column_that_the_page_needed(
    photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64)
    run = ["--table", str(tmp_path / "t"), "--text", "photo 1", "-k", "1", "--json"]
    assert query.main([*run, "--open"]) == 0
    assert schema.THUMBNAIL not in json.loads(capfd.readouterr().out)["results"][0]
    assert query.main([*run, "--columns", schema.THUMBNAIL, "--output", str(tmp_path / "hits.parquet")]) == 0
    told = capfd.readouterr()
    (hit,) = json.loads(told.out)["results"]
    assert b64decode(hit[schema.THUMBNAIL]) in stored(tmp_path / "t")
    assert f"thumbnail ({len(b64decode(hit[schema.THUMBNAIL]))} bytes)" in told.err
    assert pq.read_table(tmp_path / "hits.parquet")[schema.THUMBNAIL].to_pylist()[0] in stored(tmp_path / "t")
    assert query.main([*run, "--columns", schema.THUMBNAIL, "--output", str(tmp_path / "hits.csv")]) == 2
    assert "CSV cannot hold the column 'thumbnail'" in capfd.readouterr().err


def test_a_report_shows_them_without_the_input(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=64, score=True)
    photos.unlink()
    assert report.main(["--table", str(tmp_path / "t"), "--output", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert shown(page)
    assert set(shown(page)) <= stored(tmp_path / "t")
    assert "The table contains no images" not in page


def label_page(tmp_path: Path, *options: object) -> tuple[int, str]:
    output = tmp_path / f"draw-{len(list(tmp_path.iterdir()))}"
    run = ["--table", tmp_path / "t", "--output", output, "--count", PHOTOS, "--max-mismatch-fraction", 0.5]
    code = label.main([*map(str, run), *map(str, options)])
    return code, (output / "label.html").read_text("utf-8") if code == 0 else ""


def test_pairs_are_labelled_on_large_thumbnails_without_the_input(photos: Path, tmp_path: Path, model: Path) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=384, score=True)
    photos.unlink()
    code, page = label_page(tmp_path)
    assert code == 0
    assert set(shown(page)) == stored(tmp_path / "t")


def test_small_thumbnails_are_not_enough_to_label_pairs(
    photos: Path, tmp_path: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    embed(photos.parent, tmp_path / "t", model, thumbnail_px=383, score=True)
    assert label_page(tmp_path)[0] == 2
    told = "it stores no thumbnails of 384 pixels or more, so the page needs the --input that the table was made from"
    assert told in capfd.readouterr().err
    code, page = label_page(tmp_path, "--input", photos.parent)
    assert code == 0
    assert len(shown(page)) == PHOTOS
    assert not set(shown(page)) & stored(tmp_path / "t")
