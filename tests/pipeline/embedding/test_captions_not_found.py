"""An input whose texts no option and no known name takes: nothing is embedded until its user says what they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UsageError
from tests.embedding import embed
from tests.processes import Siglane
from tests.rows import rows_of
from tests.samples import jpeg, write_photos, write_tar

WORDS = ["a red barn", "a blue boat", "a green hill"]


def parquet(path: Path, column: str, values: object = WORDS) -> Path:
    path.mkdir()
    table = {"image": pa.array([jpeg(row) for row in range(3)]), "key": ["a", "b", "c"], column: pa.array(values)}
    pq.write_table(pa.table(table), path / "a.parquet")
    return path


def jsonl(path: Path) -> Path:
    photos(path / "images")
    lines = [{"url": f"images/{row}.jpg", "words": [text]} for row, text in enumerate(WORDS)]
    (path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path / "pairs.jsonl"


def csv(path: Path) -> Path:
    photos(path / "images")
    (path / "pairs.csv").write_text("url,descr\n" + "".join(f"images/{row}.jpg,{WORDS[row]}\n" for row in range(3)))
    return path / "pairs.csv"


def tar(path: Path) -> Path:
    path.mkdir()
    records = [json.dumps({"key": str(row), "notes": text}).encode() for row, text in enumerate(WORDS)]
    pairs = [((f"{row}.jpg", jpeg(row)), (f"{row}.json", record)) for row, record in enumerate(records)]
    write_tar(path / "a.tar", [member for pair in pairs for member in pair])
    return path


def photos(path: Path) -> Path:
    path.mkdir(parents=True)
    for row in range(3):
        (path / f"{row}.jpg").write_bytes(jpeg(row))
    return path


def photos_with_strays(path: Path) -> Path:
    photos(path)
    for row, text in enumerate(WORDS):
        (path / f"caption_of_{row}.txt").write_text(text)
    return path


UNKNOWN: list[tuple[Callable[[Path], Path], str]] = [
    (lambda path: parquet(path, "descr"), "the text fields here are descr;"),
    (lambda path: parquet(path, "descr", [[text] for text in WORDS]), "the text fields here are descr;"),
    (jsonl, "the text fields here are words;"),
    (csv, "the text fields here are descr;"),
    (tar, "the text fields here are notes;"),
    (photos_with_strays, "3 caption files match no image, e.g. caption_of_0.txt"),
]


@pytest.mark.parametrize(("make", "there"), UNKNOWN)
def test_texts_that_nobody_takes_are_refused_before_anything_is_embedded(
    tmp_path: Path, model: Path, make: Callable[[Path], Path], there: str
) -> None:
    data = make(tmp_path / "in")
    with pytest.raises(UsageError, match="no captions found") as refused:
        embed(data, tmp_path / "t", model)
    assert there in str(refused.value)
    assert "--no-captions" in str(refused.value)
    assert not (tmp_path / "t.lance").exists()
    embed(data, tmp_path / "t", model, captions=False)
    rows = rows_of(tmp_path / "t").values()
    assert [(row["status"], row["caption"], row["text_vector"]) for row in rows] == [("success", None, None)] * 3


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda path: parquet(path, "descr"), "descr"),
        (jsonl, "words"),
        (csv, "descr"),
        (tar, "notes"),
    ],
)
def test_the_named_field_has_the_captions(tmp_path: Path, model: Path, make: Callable[[Path], Path], name: str) -> None:
    embed(make(tmp_path / "in"), tmp_path / "t", model, caption_col=name)
    assert sorted(row["caption"] for row in rows_of(tmp_path / "t").values()) == sorted(WORDS)


def test_what_says_something_else_about_an_image_is_no_caption(tmp_path: Path, model: Path) -> None:
    embed(parquet(tmp_path / "in", "sha256"), tmp_path / "t", model)
    assert [row["caption"] for row in rows_of(tmp_path / "t").values()] == [None] * 3


@pytest.mark.parametrize("name", ["README.txt", "LICENSE.txt", "readme.json"])
def test_a_notice_about_the_dataset_is_no_caption(tmp_path: Path, model: Path, name: str) -> None:
    photos(tmp_path / "in")
    (tmp_path / "in" / name).write_text("{}")
    embed(tmp_path / "in", tmp_path / "t", model)
    assert len(rows_of(tmp_path / "t")) == 3


def test_no_captions_leaves_those_out_that_are_there(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 3)
    embed(tmp_path / "in", tmp_path / "t", model, captions=False)
    assert [row["caption"] for row in rows_of(tmp_path / "t").values()] == [None] * 3


def test_a_caption_behind_the_records_that_were_looked_at_is_no_silent_loss(tmp_path: Path, model: Path) -> None:
    photos(tmp_path / "in" / "images")
    line = json.dumps({"url": "images/0.jpg"})
    late = json.dumps({"url": "images/1.jpg", "caption": "a red barn"})
    (tmp_path / "in" / "pairs.jsonl").write_text(f"{line}\n" * 1_200 + late + "\n")
    embed(tmp_path / "in" / "pairs.jsonl", tmp_path / "t", model)
    (rejected,) = [row for row in rows_of(tmp_path / "t").values() if row["status"] == "rejected"]
    assert rejected["reason"] == "bad-record"
    assert "give --caption-col caption, or --no-captions" in rejected["error_message"]


def test_the_run_says_what_it_takes(siglane: Siglane, tmp_path: Path, model: Path) -> None:
    csv(tmp_path / "in")
    run = ["embed", "--input", "in/pairs.csv", "--table", "db/t", "--model", model, "--local"]
    plan = siglane(*run, "--caption-col", "descr", "--dry-run")
    assert (plan["images_from"], plan["captions_from"]) == ("the URIs in column 'url'", "column 'descr'")
    process = siglane.start(*run, "--no-captions", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["captions_from"] is None
    assert "there are no captions: the images are embedded alone" in err
