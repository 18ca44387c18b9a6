"""The images of data-juicer that are there several times are found, and no others.

Skipped where ../shared/data is absent.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from pipeline.dedup import DedupOptions, dedup_table
from tests.conftest import SHARED_DATA
from tests.embedding import embed
from tests.rows import rows_of
from tests.samples import write_parquet

IMAGES = SHARED_DATA / "peers" / "data-juicer" / "tests" / "ops" / "data"

pytestmark = pytest.mark.skipif(not IMAGES.exists(), reason="../shared/data/peers is not here")

EQUAL = {
    frozenset(["img1.png", "img4.png"]),
    frozenset(["img2.jpg", "img5.jpg"]),
    frozenset(["img3.jpg", "img6.jpg", "img7.jpg"]),
}


def groups(table: Path) -> set[frozenset[str]]:
    """Names of the images of each group of more than one."""
    found: dict[str, set[str]] = {}
    for row in rows_of(table).values():
        found.setdefault(row["duplicate_of"] or row["uid"], set()).add(row["name"])
    return {frozenset(names) for names in found.values() if len(names) > 1}


@pytest.mark.parametrize("method", ["exact", "perceptual"])
def test_the_groups_that_are_there(tmp_path: Path, model: Path, method: str) -> None:
    """Seven other images are alone; two of them are drawings of one aeroplane in unlike clouds, and not one picture."""
    paths = sorted(IMAGES.iterdir())
    smaller = {path.name: again(path) for path in paths if path.name in ("cat.jpg", "img9.jpg")}
    names = [path.name for path in paths] + [f"again-{name}" for name in smaller]
    images = [path.read_bytes() for path in paths] + list(smaller.values())
    write_parquet(tmp_path / "in" / "a.parquet", images, ["a caption"] * len(images), name=names)
    embed(tmp_path / "in", tmp_path / "t", model, keep_cols=("name",))
    given = {"input": str(tmp_path / "in")} if method == "perceptual" else {}
    dedup_table(DedupOptions.model_validate({"table": str(tmp_path / "t"), "method": method, **given}))
    alike = {frozenset([name, f"again-{name}"]) for name in smaller}
    assert groups(tmp_path / "t") == (EQUAL if method == "exact" else EQUAL | alike)


def again(path: Path) -> bytes:
    """Half as wide and high, and of a lower quality."""
    image = Image.open(path)
    buffer = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()
