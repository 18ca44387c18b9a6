"""Manifests: records of URIs, in JSONL, CSV and TSV."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import random
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.fileformats import compression
from pipeline.sample import row_ranges
from pipeline.sources import SourceOptions, resolve
from pipeline.sources.formats import manifest
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.samples import jpeg


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine photos in a folder of their own below the input's."""
    folder = tmp_path / "in" / "photos"
    folder.mkdir(parents=True)
    for index in range(9):
        (folder / f"{index}.jpg").write_bytes(jpeg(index))
    return folder


def write_lines(file: Path, records: Sequence[Any]) -> Path:
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


def record(index: int, **more: Any) -> dict[str, Any]:
    return {"url": f"photos/{index}.jpg", "caption": f"caption {index}", **more}


def test_a_line_of_jsonl_is_a_sample(photos: Path) -> None:
    file = write_lines(photos.parent / "x.jsonl", [record(i, key=f"k{i}", score=i / 2) for i in range(3)])
    samples = read_all(input=file, keep_cols=("score",))
    assert [(s.source.path, s.key, s.caption, s.member, s.kept["score"]) for s in samples] == [
        ("x.jsonl", f"k{i}", f"caption {i}", f"{i}.jpg", i / 2) for i in range(3)
    ]
    assert [sample.image for sample in samples] == [jpeg(i) for i in range(3)]
    lines = file.read_bytes().splitlines(keepends=True)
    assert [sample.row for sample in samples] == [0, len(lines[0]), len(lines[0]) + len(lines[1])]
    assert [sample.rows for sample in samples] == [None, None, 3]


def test_parts_of_a_large_jsonl_hold_each_line_once(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_lines(photos.parent / "x.jsonl", [record(i % 9, key=str(i)) for i in range(50)])
    whole = [sample.row for sample in read_all(input=file)]
    for size in (1, 40, 53, 54, 55, 300):
        monkeypatch.setattr(manifest, "BYTES_PER_PART", size)
        samples = read_all(input=file)
        assert len(planned(input=file)[0]) > 5
        assert [sample.key for sample in samples] == [str(i) for i in range(50)]
        assert [sample.row for sample in samples] == whole


def test_of_a_large_jsonl_only_what_is_left_is_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line whose first image is done may have others that are not."""
    records = [record(0), {"url": ["photos/1.jpg", "photos/2.jpg"], "caption": "both"}, record(3)]
    file = write_lines(photos.parent / "x.jsonl", records)
    monkeypatch.setattr(manifest, "BYTES_PER_PART", 60)
    chunks, options = planned(input=file)
    assert len(chunks) > 1
    rows = [sample.row for sample in read_all(input=file)]
    done = {"x.jsonl": row_ranges([rows[0], rows[1], rows[3]])}
    left = [sample for chunk in chunks for sample in manifest.read(replace(chunk, done=done), options)]
    assert [(sample.row, sample.image) for sample in left] == [(rows[2], jpeg(2))]


def test_lists_of_images_and_of_captions_are_samples_each(photos: Path) -> None:
    records = [
        {"images": ["photos/0.jpg", "photos/1.jpg"], "text": "both"},
        {"images": ["photos/2.jpg"], "text": ["a", "b"]},
    ]
    samples = read_all(input=write_lines(photos.parent / "x.jsonl", records))
    assert [(s.caption, s.image) for s in samples[:2]] == [("both", jpeg(0)), ("both", jpeg(1))]
    assert [s.key for s in samples[:2]] == ["0", "0#1"]
    assert len({sample.row for sample in samples}) == len(samples)


def test_a_line_that_is_no_record_is_rejected_alone(photos: Path) -> None:
    lines = [record(0), b"{not json", b"", b"[1]", b"\xff", b"[" * 100_000, record(1), {"url": 7}, {"url": None}]
    samples = read_all(input=write_lines(photos.parent / "x.jsonl", lines))
    bad = ["bad-record"] * 4
    assert reasons(samples) == [None, *bad, None, "bad-uri", None]
    assert [sample.image is not None for sample in samples] == [True, *[False] * 4, True, False, False]


def test_a_line_of_many_megabytes_is_not_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.captions.MAX_RECORD_BYTES", 1000)
    lines = [record(0), record(1, more="x" * 5000), record(2)]
    samples = read_all(input=write_lines(photos.parent / "x.jsonl", lines))
    assert reasons(samples) == [None, "bad-record", None]


def test_missing_and_forbidden_images_are_rejected(photos: Path) -> None:
    outside = photos.parent.parent / "secret.jpg"
    outside.write_bytes(jpeg(0))
    urls = ["photos/none.jpg", "photos", "../secret.jpg", str(outside), "https://example.org/a.jpg?token=abc"]
    lines = [{"url": url, "caption": "a"} for url in urls]
    samples = read_all(input=write_lines(photos.parent / "x.jsonl", lines))
    assert reasons(samples) == ["no-image", "no-image", *["forbidden-uri"] * 3]
    assert all("abc" not in sample.reject.message for sample in samples if sample.reject)


def test_names_that_no_file_can_have_are_rejected(photos: Path) -> None:
    urls = [f"photos/{'x' * 300}.jpg", "photos/0.jpg/1.jpg", "photos/\ud800.jpg", "photos/0.jpg"]
    samples = read_all(input=write_lines(photos.parent / "x.jsonl", [{"url": url, "caption": "a"} for url in urls]))
    assert reasons(samples) == ["no-image", "no-image", "no-image", None]


def captions_of(file: Path, text: str | bytes) -> list[str | None]:
    """The captions of a list's records; the reason, for a row that is rejected."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [s.reject.reason if s.reject else s.caption for s in read_all(input=file)]


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.tsv", "\t")])
def test_csv_and_tsv_with_line_breaks_in_quotes(photos: Path, name: str, delimiter: str) -> None:
    rows = [["photos/0.jpg", "two\nlines"], ["photos/1.jpg", 'a "quote", a\ttab'], ["photos/2.jpg"], []]
    with (photos.parent / name).open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter=delimiter).writerows([["url", "caption"], *rows])
    samples = read_all(input=photos.parent / name)
    assert [(s.row, s.rows, s.key, s.caption) for s in samples] == [
        (0, None, "0", "two\nlines"),
        (1, None, "1", 'a "quote", a\ttab'),
        (2, 3, "2", None),
    ]
    assert reasons(samples) == [None, None, "bad-record"]


def test_quotes_in_a_tsv_are_text(photos: Path) -> None:
    """CC3M and CC12M write a text as it stands. Each quote here opens or closes a field if quotes mean something."""
    texts = [
        '"blue circle',
        "a dog",
        '"Stop" sign',
        '""quoted"" all',
        '"in quotes"',
        "\"'",
        'yellow" circle',
        '12" disc',
    ]
    for lines in (
        ["caption\turl", *(f"{text}\tphotos/{i}.jpg" for i, text in enumerate(texts))],
        ["url\tcaption", *(f"photos/{i}.jpg\t{text}" for i, text in enumerate(texts))],
    ):
        assert captions_of(photos.parent / "x.tsv", "\n".join(lines)) == texts


def test_a_quoted_header_of_a_tsv_says_that_quotes_quote(photos: Path) -> None:
    text = '"url"\t"caption"\n"photos/0.jpg"\t"in quotes"\n"photos/1.jpg"\t"a ""b"""\n'
    assert captions_of(photos.parent / "x.tsv", text) == ["in quotes", 'a "b"']


@pytest.mark.parametrize("end", ['circle" again', 'circle"', "circle"])
@pytest.mark.parametrize("lines", ["url,caption\n{}", "caption,url\n{}"])
def test_a_quote_that_is_not_closed_costs_its_own_row_alone(photos: Path, lines: str, end: str) -> None:
    texts = ["a", '"blue circle', "c", "d", end, "f"]
    url_first = lines.startswith("url")
    rows = [f"photos/{i}.jpg,{t}" if url_first else f"{t},photos/{i}.jpg" for i, t in enumerate(texts)]
    found = captions_of(photos.parent / "x.csv", lines.format("\n".join(rows)))
    assert found == ["a", "bad-record", "c", "d", end, "f"]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
@pytest.mark.parametrize("url_first", [True, False])
@pytest.mark.parametrize(
    "texts",
    [
        ['"blue', 'circle"', "c"],
        ["a", '"blue', "c", "d{}e", "f", 'circle"', "g"],
        ["a", '"blue', "c{}d", 'circle"', "g"],
        ['"blue', "c", "{}", 'circle"'],
    ],
)
def test_a_quote_that_another_row_happens_to_close_costs_no_other_row(
    photos: Path, texts: list[str], url_first: bool, name: str
) -> None:
    """Rows between may be broken themselves: an own delimiter in a text without quotes."""
    mark = "," if name == "x.csv" else "\t"
    texts = [text.format(mark) for text in texts]
    rows = [(f"photos/{i}.jpg", text) if url_first else (text, f"photos/{i}.jpg") for i, text in enumerate(texts)]
    header = ("url", "caption") if url_first else ("caption", "url")
    opened = "bad-record" if name == "x.csv" else '"blue'
    expected = [opened if text == '"blue' else "bad-record" if mark in text else text for text in texts]
    assert captions_of(photos.parent / name, "\n".join(map(mark.join, [header, *rows]))) == expected


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_rows_that_name_no_file_are_told_by_their_number_of_fields(photos: Path, name: str) -> None:
    mark = "," if name == "x.csv" else "\t"
    for index in range(4):
        (photos.parent / str(index)).write_bytes(jpeg(index))
    rows = [("url", "caption"), ("0", '"blue'), ("1", "b"), ("2", 'circle"'), ("3", '"two\nlines"')]
    found = captions_of(photos.parent / name, "\n".join(map(mark.join, rows)))
    assert found == ["bad-record" if name == "x.csv" else '"blue', "b", 'circle"', "two\nlines"]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
@pytest.mark.parametrize("url_first", [True, False])
def test_captions_of_several_lines_that_are_quoted(photos: Path, url_first: bool, name: str) -> None:
    mark = "," if name == "x.csv" else "\t"
    texts = [
        "two\nlines",
        f"a{mark}b\nc{mark}d\ne{mark}f",
        "\n\nthree\n",
        'a "quote"\r\nb',
        f"a{mark}b\nc",
        f"a\nb{mark}c",
    ]
    rows = [(f"photos/{i}.jpg", text) if url_first else (text, f"photos/{i}.jpg") for i, text in enumerate(texts)]
    with (photos.parent / name).open("w", newline="") as file:
        header = ("url", "caption") if url_first else ("caption", "url")
        csv.writer(file, delimiter=mark).writerows([header, *rows])
    assert [sample.caption for sample in read_all(input=photos.parent / name)] == texts


def test_text_after_a_closing_quote_is_no_caption(photos: Path) -> None:
    text = 'url,caption\nphotos/0.jpg,"Stop" sign\nphotos/1.jpg,""quoted"" all\nphotos/2.jpg,12" disc\n'
    assert captions_of(photos.parent / "x.csv", text) == ["bad-record", "bad-record", '12" disc']
    first = read_all(input=photos.parent / "x.csv")[0].reject
    assert first is not None
    assert first.message.startswith("x.csv row 0: text follows the closing quote of a field; write a quote")


def test_lines_of_a_quoted_caption_may_have_commas(photos: Path) -> None:
    poem = "Roses are red,\nviolets are blue, more\nor less, photo.jpg of me"
    text = f'url,caption\nphotos/0.jpg,"{poem}"\nphotos/1.jpg,b\n'
    assert captions_of(photos.parent / "x.csv", text) == [poem, "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.tsv", "\t")])
@pytest.mark.parametrize("marked", [True, False])
def test_lists_in_other_encodings(photos: Path, encoding: str, name: str, delimiter: str, marked: bool) -> None:
    mark = "\ufeff" if encoding.endswith("e") and marked else ""
    text = f"{mark}url,caption\r\nphotos/0.jpg,caf\u00e9\r\nphotos/1.jpg,\U0001f436\r\n".replace(",", delimiter)
    assert captions_of(photos.parent / name, text.encode(encoding)) == ["caf\u00e9", "\U0001f436"]


def test_damage_of_a_file_in_utf_16_costs_its_own_row_alone(photos: Path) -> None:
    lines = ["\ufeffurl,caption", "photos/0.jpg,a?b", "photos/1.jpg,c", ""]
    data = "\n".join(lines).encode("utf-16-le").replace(b"?\x00", b"\x00\xd8")
    assert captions_of(photos.parent / "x.csv", data + b"x") == ["bad-caption", "c", "bad-record"]


def test_names_in_a_header_that_are_not_utf8_are_escaped(photos: Path) -> None:
    file = photos.parent / "x.csv"
    data = "url,l\u00e9gende\nphotos/0.jpg,a\n".encode("latin-1")
    assert captions_of(file, data) == [None]
    assert [sample.caption for sample in read_all(input=file, caption_col="l\\udce9gende")] == ["a"]
    file.write_bytes("phot\u00e9,caption\nphotos/0.jpg,a\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"x\.csv: no column of images among phot\\udce9 \(string\), caption"):
        read_all(input=file)


def test_a_field_of_a_json_record_can_have_any_name(photos: Path) -> None:
    assert captions_of(photos.parent / "x.jsonl", '{"\\ud83d": 1, "url": "photos/0.jpg", "caption": "a"}\n') == ["a"]


def test_two_columns_of_one_name_are_refused_if_they_are_read(photos: Path) -> None:
    (photos.parent / "a.csv").write_text("url,caption,n,n\nphotos/0.jpg,a,1,2\n")
    (photos.parent / "b.csv").write_text("url,caption,caption\nphotos/1.jpg,b,c\nphotos/2.jpg,d,e\n")
    samples = read_all(input=f"{photos.parent}/*.csv")
    assert [sample.caption for sample in samples] == ["a", None]
    assert samples[1].reject is not None
    assert samples[1].reject.message == ("b.csv row 0: several columns are named 'caption'; rename all but one")
    with pytest.raises(InputError, match=r"b\.csv: 2 columns are named 'caption'; rename all but one"):
        read_all(input=photos.parent / "b.csv")
    with pytest.raises(InputError, match=r"a\.csv: 2 columns are named 'n'; rename all but one"):
        read_all(input=photos.parent / "a.csv", keep_cols=("n",))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_delimiter_is_recognised_and_can_be_stated(photos: Path, mark: str) -> None:
    file = photos.parent / "x.csv"
    lines = f"url{mark}caption\nphotos/0.jpg{mark}a, b\n"
    assert captions_of(file, lines) == ["a, b"]
    for stated in (f"sep={mark}\r\n", f'"sep={mark}"\n'):
        assert captions_of(file, stated + lines) == ["a, b"]


def test_blanks_after_the_commas_of_a_header_are_after_all_commas(photos: Path) -> None:
    text = 'url, caption\nphotos/0.jpg, a\nphotos/1.jpg, "b, c"\n'
    assert captions_of(photos.parent / "x.csv", text) == ["a", "b, c"]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_a_row_of_millions_of_fields_is_not_held(photos: Path, name: str) -> None:
    mark = "," if name.endswith("csv") else "\t"
    (photos.parent / name).write_text(
        f'url{mark}caption\nphotos/0.jpg{mark}a\n{mark * 10_000_000}\n"x"{mark * 10_000_000}\nphotos/1.jpg{mark}b\n'
    )
    tracemalloc.start()
    samples = read_all(input=photos.parent / name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reasons(samples) == [None, "bad-record", "bad-record", None]
    assert peak < 100 << 20


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
LISTS = {
    "x.jsonl": "\n".join(json.dumps(record(i)) for i in range(5)),
    "x.NDJSON": "\n".join(json.dumps(record(i)) for i in range(5)),
    "x.csv": "url,caption\n" + "\n".join(f"photos/{i}.jpg,caption {i}" for i in range(5)),
    "x.tsv": "url\tcaption\n" + "\n".join(f"photos/{i}.jpg\tcaption {i}" for i in range(5)),
    "x.json": json.dumps([record(i) for i in range(5)], indent=1),
    "y.jsonl": json.dumps([record(i) for i in range(5)]),
}
FIVE = [f"caption {i}" for i in range(5)]


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", LISTS)
def test_lists_may_be_packed(photos: Path, name: str, packed: str) -> None:
    file = photos.parent / f"{name}{packed}"
    assert captions_of(file, PACKED[packed](LISTS[name].encode())) == FIVE
    (chunk,), options = planned(input=file)
    samples = list(manifest.read(chunk, options))
    done = replace(chunk, done={samples[0].source.path: row_ranges([sample.row for sample in samples[:2]])})
    assert [sample.row for sample in manifest.read(done, options)] == [sample.row for sample in samples[2:]]
    assert samples[-1].rows == 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_json_in_other_encodings(photos: Path, name: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTF-16 cannot be divided by bytes: the first part has it all."""
    monkeypatch.setattr(manifest, "BYTES_PER_PART", 100)
    text = LISTS[name].replace("caption 4", "\u72ac \U0001f415")
    assert captions_of(photos.parent / name, text.encode(encoding)) == [*FIVE[:4], "\u72ac \U0001f415"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_of_an_array_of_any_length_one_element_is_held(
    photos: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.fileformats.json_array.CHARACTERS_AT_ONCE", size)
    elements = [record(0), 12345, record(1, more=[[{"a": "]"}], 1.5]), "text", None, record(2)]
    found = captions_of(photos.parent / "x.json", json.dumps(elements, indent=2))
    assert found == ["caption 0", "bad-record", "caption 1", "bad-record", "bad-record", "caption 2"]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (", {broken", "Expecting property name"),
        (", " + "[" * 100_000, "nested too deeply"),
        (' {"url": "photos/1.jpg"}]', "a comma or the end of the array is missing"),
        ("", "a comma or the end of the array is missing"),
        (", ", "the rest of the array is not read"),
        ("] x", "text after the end of the array is not read"),
        (', {"a": "' + "x" * 5000 + '"}]', "element of more than 1000 characters"),
    ],
)
def test_of_a_broken_array_the_rest_is_one_rejected_row(
    photos: Path, end: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources.captions.MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr("pipeline.fileformats.json_array.CHARACTERS_AT_ONCE", 100)
    file = photos.parent / "x.json"
    assert captions_of(file, f"[{json.dumps(record(0))}{end}") == ["caption 0", "bad-record"]
    last = read_all(input=file)[-1].reject
    assert last is not None
    assert message in last.message


def test_a_json_file_beside_others_is_no_list(photos: Path) -> None:
    (photos / "0.json").write_text(json.dumps([record(0)]))
    assert resolve(SourceOptions(input=(str(photos),)))[0] == "folder"


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_of_a_damaged_list_what_comes_before_is_read(photos: Path, name: str, packed: str) -> None:
    lines = LISTS[name].splitlines(keepends=True)
    noise = json.dumps({"url": None, "more": random.Random(0).randbytes(500_000).hex()}) + "\n"
    text = "".join(lines) + ("\n" + noise if name == "x.jsonl" else "")
    damaged = PACKED[packed](text.encode())
    damaged = damaged[: len(damaged) * 95 // 100] if name == "x.jsonl" else damaged + b"<html>504</html>"
    found = captions_of(photos.parent / f"{name}{packed}", damaged)
    assert found == [*FIVE, *["bad-record"] * (len(found) - 5)]
    assert 6 <= len(found) <= 7
    last = read_all(input=photos.parent / f"{name}{packed}")[-1].reject
    assert last is not None
    assert " stream is " in last.message


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_bomb_in_a_list_is_cut_off_and_not_held(
    photos: Path, name: str, packed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "MAX_SMALL", 8 << 20)
    monkeypatch.setattr("pipeline.sources.captions.MAX_RECORD_BYTES", 1 << 16)
    data = PACKED[packed]((LISTS[name] + "\n").encode() + b"x" * (40 << 20))
    file = photos.parent / f"{name}{packed}"
    tracemalloc.start()
    found = captions_of(file, data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [*FIVE, "bad-record", "bad-record"]
    assert peak < 12 << 20


def test_a_list_that_is_packed_twice_is_refused(photos: Path) -> None:
    (photos.parent / "x.jsonl.gz").write_bytes(gzip.compress(gzip.compress(LISTS["x.jsonl"].encode())))
    with pytest.raises(InputError, match=r"x\.jsonl\.gz: its first lines have no record; the file looks like gzip"):
        read_all(input=photos.parent / "x.jsonl.gz")


def test_a_text_that_begins_like_a_packed_file_is_text(photos: Path) -> None:
    assert captions_of(photos.parent / "x.csv", "BZh,url,caption\nx,photos/0.jpg,a\n") == ["a"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (".\\0.jpg", "0.jpg"),
        ("a\\0.jpg", "a/0.jpg"),
        (" 0.jpg", "0.jpg"),
        ("0.jpg \n", "0.jpg"),
        (" 1.jpg ", " 1.jpg "),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("\u00e9/e\u0301.jpg", "e\u0301/\u00e9.jpg"),
    ],
)
def test_names_that_no_file_has_are_read_in_another_spelling(tmp_path: Path, written: str, read: str) -> None:
    (tmp_path / read).parent.mkdir(exist_ok=True)
    (tmp_path / read).write_bytes(jpeg(1))
    if read == " 1.jpg ":
        (tmp_path / "1.jpg").write_bytes(jpeg(2))
    (sample,) = read_all(input=write_lines(tmp_path / "x.jsonl", [{"url": written, "caption": "a"}]))
    assert (sample.image, sample.reject) == (jpeg(1), None)


@pytest.mark.parametrize("url", ["..\\secret.jpg", "a\\..\\..\\secret.jpg", " ../secret.jpg", "C:\\secret.jpg"])
def test_no_spelling_leads_outside(photos: Path, url: str) -> None:
    (photos.parent.parent / "secret.jpg").write_bytes(jpeg(0))
    (sample,) = read_all(input=write_lines(photos.parent / "x.jsonl", [{"url": url, "caption": "a"}]))
    assert sample.image is None
    assert sample.reject is not None


def test_a_last_line_of_a_csv_needs_no_line_break(photos: Path) -> None:
    (photos.parent / "x.csv").write_text('url,caption\nphotos/0.jpg,a\nphotos/1.jpg,"b"')
    assert [sample.caption for sample in read_all(input=photos.parent / "x.csv")] == ["a", "b"]


def test_a_line_of_a_csv_of_many_megabytes_is_not_held(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.captions.MAX_RECORD_BYTES", 1 << 16)
    (photos.parent / "x.csv").write_text(f"url,caption\nphotos/0.jpg,a\n{'x' * (20 << 20)}\nphotos/1.jpg,b\n")
    tracemalloc.start()
    samples = read_all(input=photos.parent / "x.csv")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [sample.caption for sample in samples if sample.reject is None] == ["a", "b"]
    assert set(reasons(samples)) == {None, "bad-record"}
    assert peak < 5 << 20


def test_a_later_csv_whose_header_cannot_be_read_is_one_rejected_row(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sources.captions.MAX_RECORD_BYTES", 100)
    (photos.parent / "a.csv").write_text("url,caption\nphotos/0.jpg,a\n")
    (photos.parent / "b.csv").write_text(f"{'x' * 1000}\nphotos/1.jpg,b\n")
    samples = read_all(input=f"{photos.parent}/*.csv")
    assert [(sample.source.path, reason) for sample, reason in zip(samples, reasons(samples), strict=True)] == [
        ("a.csv", None),
        ("b.csv", "bad-record"),
    ]
    (photos.parent / "a.csv").unlink()
    with pytest.raises(InputError, match=r"b\.csv: its first lines have no record"):
        read_all(input=f"{photos.parent}/*.csv")


def test_captions_of_a_csv_that_are_not_utf8(photos: Path) -> None:
    (photos.parent / "x.csv").write_bytes(b"url,caption,more\nphotos/0.jpg,caf\xe9,caf\xe9\nphotos/1.jpg,b,c\n")
    samples = read_all(input=photos.parent / "x.csv", keep_cols=("more",))
    assert reasons(samples) == ["bad-caption", None]
    assert samples[0].kept["more"].startswith("caf\\")


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_the_metadata_of_a_folder_of_images_is_its_manifest(photos: Path, name: str) -> None:
    file = photos / name
    if name.endswith("csv"):
        file.write_text("file_name,text\n0.jpg,a dog\n")
    else:
        write_lines(file, [{"file_name": "0.jpg", "text": "a dog"}])
    (sample,) = read_all(input=photos)
    assert (sample.source.path, sample.image, sample.caption) == (name, jpeg(0), "a dog")


def test_other_tables_beside_images_must_be_told_apart(photos: Path) -> None:
    write_lines(photos / "notes.jsonl", [record(0)])
    with pytest.raises(InputError, match=r"has files of format folder and manifest.*--input-format"):
        read_all(input=photos)


def test_a_first_file_without_records_is_refused_with_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(jpeg(0))
    with pytest.raises(InputError, match=r"x\.jsonl: its first lines have no record; the file looks like JPEG"):
        read_all(input=tmp_path)


def test_records_without_uris_are_refused_with_what_they_have(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [{"picture": "a.jpg", "n": 1}])
    with pytest.raises(InputError, match=r"x\.jsonl: no column of images among picture \(string\), n \(int64\)"):
        read_all(input=tmp_path)


def test_empty_lines_of_a_csv_are_no_rows(photos: Path) -> None:
    file = photos.parent / "x.csv"
    file.write_text("url,caption\nphotos/0.jpg,a\n\n\nphotos/1.jpg,b\n")
    assert [(sample.row, sample.caption, sample.rows) for sample in read_all(input=file)] == [
        (0, "a", None),
        (1, "b", 2),
    ]


@pytest.mark.parametrize("before", [b"", b"\n"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(photos: Path, before: bytes) -> None:
    file = write_lines(photos.parent / "x.jsonl", [record(0), record(1)])
    file.write_bytes(b"\xef\xbb\xbf" + before + file.read_bytes())
    samples = read_all(input=file)
    assert [sample.caption for sample in samples] == ["caption 0", "caption 1"]
    assert reasons(samples) == [None, None]


def test_images_of_done_rows_are_not_fetched(photos: Path) -> None:
    file = write_lines(photos.parent / "x.jsonl", [record(0), record(1)])
    (chunk,), options = planned(input=file)
    (photos / "0.jpg").unlink()
    samples = list(manifest.read(replace(chunk, done={"x.jsonl": ((0, 1),)}), options))
    assert [(sample.caption, sample.rows, sample.reject) for sample in samples] == [("caption 1", 2, None)]


def test_an_object_that_a_store_does_not_have_is_its_rows_own_fault() -> None:
    lines = "".join(json.dumps(record(index)) + "\n" for index in range(2))
    fsspec.filesystem("memory").pipe({"/manifest/x.jsonl": lines.encode(), "/manifest/photos/0.jpg": jpeg(0)})
    samples = read_all(input="memory://manifest/x.jsonl")
    assert reasons(samples) == [None, "no-image"]
    assert samples[0].image == jpeg(0)


def test_a_separator_of_unknown_names_is_asked_for(photos: Path) -> None:
    file = photos.parent / "x.csv"
    file.write_text("bild;text\nphotos/0.jpg;a, b\n")
    with pytest.raises(InputError, match="separated by ';', not by ','; say it with --separator"):
        read_all(input=file)
    assert [s.caption for s in read_all(input=file, separator=";", url_col="bild")] == ["a, b"]


def test_two_separators_are_refused(photos: Path) -> None:
    file = photos.parent / "x.txt"
    file.write_text("url;x\timage\nphotos/0.jpg;a\tphotos/1.jpg\n")
    with pytest.raises(InputError, match=r"'\\t' and ';' can both separate its fields; say which with --separator"):
        read_all(input=file)


@pytest.mark.parametrize("separator", ["", ";;", '"', "\n"])
def test_a_separator_is_one_character(separator: str) -> None:
    with pytest.raises(ValueError, match="give one character"):
        SourceOptions(input=("x",), separator=separator)


def test_a_later_list_without_a_clear_separator_is_one_rejected_row(photos: Path) -> None:
    (photos.parent / "a.csv").write_text("url,caption\nphotos/0.jpg,a\n")
    (photos.parent / "b.csv").write_text("url;x\timage\nphotos/0.jpg;a\tphotos/1.jpg\n")
    samples = read_all(input=f"{photos.parent}/*.csv")
    assert reasons(samples) == [None, "bad-record"]
