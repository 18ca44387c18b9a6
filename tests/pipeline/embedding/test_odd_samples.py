"""One odd sample never ends a run: it is a row of the table, rejected where it cannot be embedded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import schema, sources
from pipeline.sample import Chunk, Sample, Source
from pipeline.sources import SourceOptions
from pipeline.stages import decode
from siglip_core import spec
from tests.embedding import embed
from tests.rows import Rows, rows_of
from tests.samples import jpeg, write_parquet

BAD = b"caf\xe9"
"""a text of another encoding than UTF-8"""


def text(values: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    """A column of texts as a careless writer makes it: its bytes are not looked at."""
    unchecked = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    return pa.Array.from_buffers(kind, len(values), pa.array(values, unchecked[kind]).buffers())


def embedded(path: Path, model: Path, **options: object) -> Rows:
    table = path.parent / "table"
    embed(path, table, model, **options)
    return rows_of(table)


def outcomes(rows: Rows) -> dict[tuple[str, int], tuple[object, object]]:
    return {place: (row["stage"], row["reason"]) for place, row in rows.items()}


def test_half_a_surrogate_pair_in_a_caption(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index, caption in enumerate(["good", "bad \ud83d"]):
        (folder / f"{index}.jpg").write_bytes(jpeg(index))
        (folder / f"{index}.json").write_text(json.dumps({"caption": caption}))

    rows = embedded(folder, model)

    assert outcomes(rows) == {("0.jpg", 0): (None, None), ("1.jpg", 0): ("read", "bad-caption")}
    assert "surrogates not allowed" in str(rows["1.jpg", 0]["error_message"])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_parquet_texts_that_are_not_utf8(tmp_path: Path, model: Path, kind: pa.DataType) -> None:
    captions = text([b"good", BAD, b"also good"], kind)
    keys = text([BAD, b"k", None], kind)
    urls = text([BAD, None, b"u"], kind)
    write_parquet(tmp_path / "x.parquet", [jpeg(i) for i in range(3)], captions, key=keys, url=urls)

    rows = embedded(tmp_path / "x.parquet", model)

    assert list(outcomes(rows).values()) == [(None, None), ("read", "bad-caption"), (None, None)]
    assert "can't decode byte 0xe9" in str(rows["x.parquet", 1]["error_message"])
    assert [row["key"] for row in rows.values()] == [r"caf\xe9", "k", "2"]
    assert [row["source_key"] for row in rows.values()] == [r"caf\xe9", "k", None]
    assert [row["url"] for row in rows.values()] == [r"caf\xe9", None, "u"]


def test_kept_values_that_python_cannot_hold_are_null(tmp_path: Path, model: Path) -> None:
    nested = pa.ListArray.from_arrays([0, 1, 2], text([BAD, b"ok"], pa.string()))
    days = pa.array([10_000_000, 0], pa.int32()).cast(pa.date32())
    write_parquet(tmp_path / "x.parquet", [jpeg(0), jpeg(1)], ["a", "b"], tags=nested, day=days)

    rows = embedded(tmp_path / "x.parquet", model, keep_cols=("tags", "day"))

    assert [(row["tags"], row["day"]) for row in rows.values()] == [(None, None), (["ok"], date(1970, 1, 1))]


def test_a_path_beside_the_image_that_is_not_utf8(tmp_path: Path, model: Path) -> None:
    images = pa.StructArray.from_arrays([pa.array([jpeg(0)], pa.binary()), text([BAD], pa.string())], ["bytes", "path"])
    pq.write_table(pa.table({"image": images, "caption": ["a"]}), tmp_path / "x.parquet")
    assert list(outcomes(embedded(tmp_path / "x.parquet", model)).values()) == [(None, None)]


def test_sizes_that_are_none_fall_back_to_the_decoded_ones(tmp_path: Path, model: Path) -> None:
    widths = [400.0, float("nan"), 1e12, 0.0, 400.0]
    heights = [300.0, 300.0, 300.0, 300.0, None]
    write_parquet(tmp_path / "x.parquet", [jpeg(0)] * 5, list("abcde"), original_width=widths, original_height=heights)
    rows = embedded(tmp_path / "x.parquet", model)
    assert [(row["original_width"], row["original_height"]) for row in rows.values()] == [(400, 300)] + [(40, 30)] * 4


def test_a_key_that_stands_at_each_caption_of_a_photo_makes_no_uid_twice(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [jpeg(0)] * 5, list("abcde"), key=["k", "k", "k", None, "3"])
    rows = embedded(tmp_path / "x.parquet", model)
    assert [row["key"] for row in rows.values()] == ["k", "k", "k", "3", "3"]
    assert len({row["uid"] for row in rows.values()}) == 5


def test_an_input_without_rows(tmp_path: Path, model: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [], pa.array([], pa.string()))
    assert embed(tmp_path / "x.parquet", tmp_path / "table", model) == {}


def test_a_later_file_that_lacks_what_the_first_has_ends_no_run(tmp_path: Path, model: Path) -> None:
    """Kept columns are null there; captions are missing, as in any other row without one."""
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["a"], url=["u"])
    pq.write_table(pa.table({"image": pa.array([jpeg(1)], pa.binary())}), tmp_path / "in" / "b.parquet")
    write_parquet(tmp_path / "in" / "c.parquet", [jpeg(2)], ["c"], sha256=["not in the first"])
    rows = embedded(tmp_path / "in", model)
    assert outcomes(rows) == {
        ("a.parquet", 0): (None, None),
        ("b.parquet", 0): ("read", "no-caption"),
        ("c.parquet", 0): (None, None),
    }
    assert [row["url"] for row in rows.values()] == ["u", None, None]

    embed(tmp_path / "in", tmp_path / "lenient", model, allow_missing=True)
    lenient = rows_of(tmp_path / "lenient")["b.parquet", 0]
    assert (lenient["image_vector"] is None, lenient["text_vector"] is None) == (False, True)


def test_captions_that_only_a_later_file_has_are_embedded_there(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"image": pa.array([jpeg(1)], pa.binary())}), tmp_path / "in" / "a.parquet")
    write_parquet(tmp_path / "in" / "b.parquet", [jpeg(0), jpeg(2)], ["a", None])
    rows = embedded(tmp_path / "in", model)
    assert [row["text_vector"] is not None for row in rows.values()] == [False, True, False]
    assert all(row["image_vector"] for row in rows.values())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"caption": ["b", "c"]}, "b.parquet: no column of images among caption (string)"),
        (
            {"image": [1.0, 2.0], "caption": ["b", "c"]},
            "b.parquet: no column of images among image (double), caption",
        ),
        (
            {"image": pa.array([jpeg(1), None], pa.binary()), "caption": [1, 2]},
            "'caption' has type int64, not captions",
        ),
    ],
)
def test_a_later_file_without_images_or_with_other_things_than_captions_is_rejected_row_by_row(
    tmp_path: Path, model: Path, columns: dict[str, Any], message: str
) -> None:
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["a"])
    pq.write_table(pa.table(columns), tmp_path / "in" / "b.parquet")
    rows = embedded(tmp_path / "in", model)
    assert list(outcomes(rows).values()) == [(None, None), ("read", "bad-parquet"), ("read", "bad-parquet")]
    assert message in str(rows["b.parquet", 1]["error_message"])
    assert rows["b.parquet", 0]["source_rows"] == 2


def test_kept_values_of_another_type_than_in_the_first_file_are_converted_or_null(tmp_path: Path, model: Path) -> None:
    first = {"t": ["u"], "n": pa.array([1], pa.int32()), "f": [0.5], "b": [True], "d": [date(1970, 1, 1)]}
    later = {"t": [7, 8], "n": [3.0, 1.5], "f": [1, 2], "b": ["yes", "no"], "d": ["1970-01-01", "x"]}
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(0)], ["a"], **first)
    write_parquet(tmp_path / "in" / "b.parquet", [jpeg(1), jpeg(2)], ["b", "c"], **later)
    rows = embedded(tmp_path / "in", model, keep_cols=tuple(first))
    kept = [tuple(row[name] for name in first) for row in rows.values()]
    assert kept == [("u", 1, 0.5, True, date(1970, 1, 1)), ("7", 3, 1.0, None, None), ("8", None, 2.0, None, None)]


def test_a_window_is_bounded_by_its_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 3)
    monkeypatch.setattr(decode, "BYTES_PER_WINDOW", 100)
    source = Source("x", "x", "1", 1)
    sizes = [10, 10, 10, 10, 200, 60, 60, None, 1]
    samples = [Sample(source, row, None, str(row), size and b"x" * size, None) for row, size in enumerate(sizes)]
    monkeypatch.setattr(sources, "formats", lambda: {"made": SimpleNamespace(read=lambda *_: iter(samples))})
    read = decode.ReadAndDecode(
        "made", SourceOptions(input=("x",)), spec("siglip-pico").preprocessing, 1, pa.schema([])
    )
    windows = [
        [pair[schema.SOURCE_ROW] for pairs in table["pairs"].to_pylist() for pair in pairs]
        for table in read(decode.chunk_table([Chunk((source,))]))
    ]
    assert [sorted(window) for window in windows] == [[0, 1, 2], [3, 4], [5, 6], [7, 8]]
