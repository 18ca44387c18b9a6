"""Columns in the forms that other programs give them: extension types, base64, paths, lists of numbers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.sources import inline
from tests.embedding import embed
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.rows import rows_of
from tests.samples import jpeg, large_png

UUIDS = [UUID(int=5 << 64 | row) for row in range(2)]


def extension(kind: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def uuids() -> pa.Array:
    return extension(pa.uuid(), [value.bytes for value in UUIDS])


def parquet(folder: Path, **columns: Any) -> Path:
    folder.mkdir(exist_ok=True)
    images = {"image": pa.array([jpeg(0), jpeg(1)], pa.binary()), "caption": ["a", "b"]}
    pq.write_table(pa.table(images | columns), folder / "0.parquet")
    return folder


def test_a_uuid_is_a_key_as_text(tmp_path: Path, model: Path) -> None:
    embed(parquet(tmp_path / "in", key=uuids()), tmp_path / "t", model)
    assert {row["key"] for row in rows_of(tmp_path / "t").values()} == {str(value) for value in UUIDS}


def test_extension_types_are_kept_as_what_they_are_stored_as(tmp_path: Path, model: Path) -> None:
    json_texts = ['{"a": 1}', None]
    columns = {
        "id": uuids(),
        "record": extension(pa.json_(), json_texts),
        "flag": extension(pa.bool8(), [1, 0]),
        "box": extension(pa.fixed_shape_tensor(pa.float32(), [2]), [[1, 2], [3, 4]]),
        "ids": pa.ListArray.from_arrays(pa.array([0, 1, 2]), uuids()),
        "nested": pa.StructArray.from_arrays([uuids(), pa.array([1, 2])], ["id", "n"]),
    }
    embed(parquet(tmp_path / "in", **columns), tmp_path / "t", model, keep_cols=tuple(columns))
    rows = sorted(rows_of(tmp_path / "t").values(), key=lambda row: row["source_row"])
    assert [row["id"] for row in rows] == [str(value) for value in UUIDS]
    assert [row["record"] for row in rows] == json_texts
    assert [row["flag"] for row in rows] == [1, 0]
    assert [row["box"] for row in rows] == [[1, 2], [3, 4]]
    assert [row["ids"] for row in rows] == [[value.bytes] for value in UUIDS]
    assert [row["nested"] for row in rows] == [{"id": value.bytes, "n": n} for n, value in enumerate(UUIDS, 1)]


def test_captions_and_images_of_an_extension_type(tmp_path: Path) -> None:
    images = extension(pa.opaque(pa.binary(), "image", "x"), [jpeg(3), jpeg(4)])
    folder = parquet(tmp_path / "in", image=images, caption=extension(pa.json_(), ["a dog", "a cat"]))
    assert [(s.image, s.caption) for s in read_all(input=folder)] == [(jpeg(3), "a dog"), (jpeg(4), "a cat")]


def test_extension_types_of_a_lance_dataset(tmp_path: Path) -> None:
    images = pa.array([jpeg(0), jpeg(1)], pa.binary())
    lance.write_dataset(pa.table({"image": images, "caption": ["a", "b"], "key": uuids()}), tmp_path / "x.lance")
    assert [sample.key for sample in read_all(input=tmp_path / "x.lance")] == [str(value) for value in UUIDS]


@pytest.mark.parametrize("kind", [pa.list_(pa.uint8()), pa.large_list(pa.uint8())], ids=str)
def test_lists_of_numbers_are_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    rows = [list(jpeg(0)), None, [1, None], list(jpeg(1))]
    pq.write_table(pa.table({"image": pa.array(rows, kind), "caption": list("abcd")}), tmp_path / "0.parquet", 3)
    assert [(s.image, s.rows) for s in read_all(input=tmp_path)] == [
        *((jpeg(0), 4), (None, 4), (None, 4), (jpeg(1), 4))
    ]


@pytest.mark.parametrize("bytes_type", [pa.binary(), pa.null()], ids=str)
def test_the_path_of_a_struct_without_bytes_is_read_below_the_input(tmp_path: Path, bytes_type: pa.DataType) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "2.jpg").write_bytes(jpeg(2))
    own = jpeg(0) if bytes_type == pa.binary() else None
    images = [{"bytes": own, "path": "0.jpg"}, *({"bytes": None, "path": path} for path in ("1.jpg", "../2.jpg", None))]
    kind = pa.struct([("bytes", bytes_type), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind), "caption": list("abcd")}), folder / "0.parquet")
    samples = read_all(input=folder, input_format="parquet")
    assert [sample.image for sample in samples] == [own, jpeg(1), None, None]
    assert reasons(samples) == [None if own else "no-image", None, "forbidden-uri", None]
    lance.write_dataset(pq.read_table(folder / "0.parquet"), folder / "x.lance")
    (folder / "x.lance" / "data" / "1.jpg").write_bytes(jpeg(1))
    assert [sample.image for sample in read_all(input=folder / "x.lance", input_format="lance")] == [
        own,
        jpeg(1),
        None,
        None,
    ]


BASE64 = base64.b64encode(jpeg(0)).decode()
PNG64 = base64.b64encode(large_png(3)).decode()
UNSIGNED = base64.b64encode(b"P6 60 60 255 " + bytes(range(1, 181)) * 60).decode()
FORMS = {
    "base64": (BASE64, jpeg(0)),
    "of a PNG": (PNG64, large_png(3)),
    "URL-safe, without padding": (BASE64.replace("+", "-").replace("/", "_").rstrip("="), jpeg(0)),
    "in lines": ("\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)), jpeg(0)),
    "of a format without signature": (UNSIGNED, base64.b64decode(UNSIGNED)),
    "data URI": (f"data:image/jpeg;base64,{BASE64}", jpeg(0)),
    "data URI in capitals": (f"DATA:image/jpeg;charset=x;BASE64,{BASE64}", jpeg(0)),
    "data URI of quoted base64": (f"data:;base64,{quote(BASE64, safe='')}", jpeg(0)),
    "data URI of quoted bytes": (f"data:image/jpeg,{quote(jpeg(0), safe='')}", jpeg(0)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.tsv", "x.parquet", "y.parquet", "z.parquet"])
def test_images_in_base64(tmp_path: Path, name: str, form: str) -> None:
    text, image = FORMS[form]
    if name == "y.parquet" and text == UNSIGNED:
        pytest.skip("bytes without a signature may be any image")
    if name == "x.tsv":
        text = text.replace("\n", " ")
    rows = {"image": [text], "caption": ["a"]}
    if name.endswith(".parquet"):
        as_bytes = pa.array([text.encode()], pa.binary())
        structs = pa.array([{"bytes": text, "path": None}])
        rows["image"] = {"x": rows["image"], "y": as_bytes, "z": structs}[name[0]]
        pq.write_table(pa.table(rows), tmp_path / name)
    elif name.startswith("x.json"):
        record = {"image": text, "caption": "a"}
        (tmp_path / name).write_text(json.dumps([record] if name == "x.json" else record))
    else:
        mark = "," if name == "x.csv" else "\t"
        value = f'"{text}"' if name == "x.csv" else text
        (tmp_path / name).write_text(f"image{mark}caption\n{value}{mark}a\n")
    (sample,) = read_all(input=tmp_path / name)
    assert (sample.image, sample.caption, sample.reject) == (image, "a", None)


def test_images_of_json_as_hugging_face_writes_them(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    images = [
        {"bytes": BASE64, "path": None},
        {"bytes": None, "path": "1.jpg"},
        {"bytes": None, "path": None},
        {"a": 1},
    ]
    lines = [json.dumps({"image": image, "caption": "a"}) + "\n" for image in images]
    (tmp_path / "x.jsonl").write_text("".join(lines))
    assert [s.image for s in read_all(input=tmp_path / "x.jsonl")] == [jpeg(0), jpeg(1), None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE64[:-1] + "$", "not valid base64"),
        (BASE64[:200] + "=" + BASE64[200:], "not valid base64"),
        ("data:image/jpeg;base64," + BASE64[:201], "not valid base64"),
        ("data:image/jpeg;base64", "a data URI needs a comma before its data"),
    ],
)
def test_broken_base64_is_rejected_without_its_text(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"image": text, "caption": "a"}))
    (sample,) = read_all(input=tmp_path / "x.jsonl")
    assert sample.reject is not None
    assert sample.reject.reason == "bad-uri"
    assert message in sample.reject.message
    assert len(sample.reject.message) < 250


@pytest.mark.parametrize("start", ["", "data:image/jpeg;base64,", "data:,"])
def test_more_base64_than_an_image_may_have_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(inline, "MAX_IMAGE_BYTES", 100)
    monkeypatch.setattr(base64, "b64decode", lambda *_, **__: pytest.fail("decoded") if len(_[0]) > 200 else jpeg(0))
    monkeypatch.setattr(inline, "unquote_to_bytes", lambda _: pytest.fail("decoded"))
    pq.write_table(pa.table({"image": [start + BASE64], "caption": ["a"]}), tmp_path / "x.parquet")
    assert reasons(read_all(input=tmp_path)) == ["too-large"]


def test_what_is_no_base64_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "iVBORw0KGgo").mkdir()
    names = ["iVBORw0KGgo/0.jpg", "abcd", "photo"]
    for name in names:
        (tmp_path / name).write_bytes(jpeg(0))
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"image": name, "caption": "a"}) + "\n" for name in names))
    assert [sample.image for sample in read_all(input=tmp_path / "x.jsonl")] == [jpeg(0)] * 3


@pytest.mark.parametrize("first", [["0.jpg", "1.jpg"], "0.jpg"])
def test_lists_of_images_and_of_captions_in_any_order(tmp_path: Path, first: Any) -> None:
    """The first record does not decide what the others are."""
    for index in range(4):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg(index))
    records = [
        {"image": first, "caption": "one"},
        {"image": "2.jpg", "caption": ["two", "three"]},
        {"image": ["0.jpg", "1.jpg"], "caption": ["four", "five"]},
        {"image": ["0.jpg", "1.jpg", "2.jpg"], "caption": ["six", "seven"]},
        {"image": ["0.jpg"], "caption": ["eight", "nine"]},
        {"image": "3.jpg", "caption": []},
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    samples = read_all(input=tmp_path / "x.jsonl")[len(first) if isinstance(first, list) else 1 :]
    assert [(s.member, s.caption) for s in samples if s.reject is None] == [
        *(("2.jpg", "two"), ("2.jpg", "three")),
        *(("0.jpg", "four"), ("1.jpg", "five")),
        ("3.jpg", None),
    ]
    rejects = [sample.reject for sample in samples if sample.reject is not None]
    assert [reject.reason for reject in rejects] == ["bad-caption"] * 4
    assert rejects[0].message.endswith("3 images, but 2 captions; lists of both must have the same length")


def test_a_column_of_texts_that_is_named_as_one_of_bytes_is_told_its_option(tmp_path: Path) -> None:
    pq.write_table(pa.table({"b64": [BASE64], "caption": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"'b64' has type string, not image bytes; .* --url-col"):
        read_all(input=tmp_path, image_col="b64")
    assert [sample.image for sample in read_all(input=tmp_path, url_col="b64")] == [jpeg(0)]
    assert planned(input=tmp_path, url_col="b64")[0][0].captioned
