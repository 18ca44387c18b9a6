"""Odd and broken images, tars and Parquet files of many projects' tests: each is embedded, or a row that says why not.

The counts by reason are printed (`pytest -rP`). Skipped where ../shared/data is absent.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import columns
from pipeline.errors import InputError
from siglip_core.preprocess import FORMATS, MAX_PIXELS
from tests.conftest import SHARED_DATA
from tests.embedding import embed
from tests.pipeline.sources.reading import read_all
from tests.rows import Rows, rows_of
from tests.samples import jpeg

ODD = SHARED_DATA / "odd"
GIGABYTE_IN_KB = 1 << 20

pytestmark = [
    pytest.mark.skipif(not ODD.exists(), reason="../shared/data/odd is not here"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(autouse=True)
def _within_a_gigabyte() -> Iterator[None]:
    """No test takes a gigabyte more than this process has ever had."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE_IN_KB


def embedded(folder: Path, table: Path, model: Path) -> Rows:
    outcomes = embed(folder, table, model)
    print(folder.name, {f"{status} {reason or ''}".strip(): rows for (status, reason), rows in outcomes.items()})
    rows = rows_of(table)
    assert len(rows) == outcomes.total()
    assert all(row["stage"] and row["reason"] for row in rows.values() if row["status"] == "rejected")
    return rows


def pillow_decodes(data: bytes) -> bool:
    """Whether Pillow reads the file whole, within our formats and limits, and knows what its samples mean."""
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            return False
        image.load()
    except Exception:  # noqa: BLE001 - Pillow raises almost anything on damaged bytes
        return False
    return image.mode not in ("F", "I")


@pytest.mark.parametrize("folder", ["made", "orientation", "pillow"])
def test_every_image_that_pillow_decodes_is_embedded_and_every_other_is_a_row(
    tmp_path: Path, model: Path, folder: str
) -> None:
    rows = embedded(ODD / "images" / folder, tmp_path / "t", model)
    files = {path.name: path for path in (ODD / "images" / folder).iterdir()}
    assert {source for source, _ in rows} == files.keys()
    success = {source for (source, _), row in rows.items() if row["status"] == "success"}
    assert {name for name, path in files.items() if pillow_decodes(path.read_bytes())} <= success


def test_every_tar_is_read_and_what_is_unreadable_is_named(tmp_path: Path, model: Path) -> None:
    rows = embedded(ODD / "tars", tmp_path / "t", model)
    reasons: dict[str, list[str | None]] = {source: [] for source, _ in rows}
    for (source, _), row in sorted(rows.items()):
        reasons[source].append(row["reason"])
    files = {path.name for path in (ODD / "tars").iterdir()}
    assert reasons.keys() == files - {"empty_valid.tar"}
    assert reasons["corrupt_third_header.tar"] == [None, None, "bad-tar", "no-image", None, None, None]
    assert reasons["bad_header_checksum.tar"] == ["bad-tar", "no-image", *[None] * 5]
    assert reasons["concatenated.tar"] == [None] * 12
    assert reasons["cut_mid_member.tar"] == [None, None, None, "bad-tar"]
    assert reasons["cut_no_eof_blocks.tar"] == [*[None] * 6, "bad-tar"]
    assert reasons["duplicate_key.tar"] == [None] * 3
    assert reasons["duplicate_member.tar"] == ["duplicate-key", "duplicate-key", None]
    assert reasons["traversal_abs_links.tar"] == [None, None, "bad-member", "bad-member"]
    for name in ("garbage.tar", "zero.tar"):
        assert reasons[name] == ["bad-tar"]
    for name in ("plain.tar", "gz.tgz", "text_first.tar", "not_contiguous.tar", "unicode_long_pax.tar"):
        assert set(reasons[name]) == {None}


def test_every_parquet_file_is_read_or_refused_by_name(tmp_path: Path) -> None:
    """Each as the later file of a dataset, with each of its columns of bytes as images."""
    outcomes: Counter[str] = Counter()
    for path in sorted((ODD / "parquet").iterdir()):
        for column in _byte_columns(path) or ["image"]:
            folder = tmp_path / path.name / column
            folder.mkdir(parents=True)
            pq.write_table(pa.table({column: pa.array([jpeg(0)], pa.binary())}), folder / "0.parquet")
            (folder / "1.parquet").write_bytes(path.read_bytes())
            try:
                samples = read_all(input=folder, image_col=column, keep_cols=(), input_format="parquet")
            except InputError as error:
                outcomes["refused" if str(error).startswith("1.parquet: ") else "refused, unnamed"] += 1
                continue
            odd = [sample for sample in samples if sample.source.path == "1.parquet"]
            assert [sample.row for sample in odd] == list(range(odd[0].rows or 0 if odd else 0))
            outcomes.update((sample.reject.reason if sample.reject else "read") for sample in odd)
    print("parquet", dict(outcomes))
    assert outcomes["refused, unnamed"] == 0
    assert outcomes["bad-parquet"] > 0
    assert outcomes["read"] > 0


def _byte_columns(path: Path) -> list[str]:
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError):
        return []
    return [field.name for field in found if pa.types.is_binary(columns.element(field.type))]


def test_a_file_of_four_kilobytes_that_asks_for_two_gigabytes_is_refused() -> None:
    with pytest.raises(InputError, match=r"data__large_string_map\.brotli\.parquet: no column of images"):
        read_all(input=ODD / "parquet" / "data__large_string_map.brotli.parquet")
