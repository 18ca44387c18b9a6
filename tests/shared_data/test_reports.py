"""Inputs of public bug reports, and those that real programs write: what each holds.

Skipped where ../shared/data is absent.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InputError
from tests.conftest import SHARED_DATA
from tests.pipeline.sources.reading import read_all, reasons

REPORTS = SHARED_DATA / "reports"

pytestmark = pytest.mark.skipif(not REPORTS.exists(), reason="../shared/data/reports is not here")


def captions(name: str, **options: str) -> dict[str | None, str | None]:
    """By the name of the image."""
    samples = read_all(input=REPORTS / name, **options)
    assert reasons(samples) == [None] * len(samples)
    assert all(sample.image for sample in samples)
    return {sample.member: sample.caption for sample in samples}


SHAPES = ("a red square", "a blue circle", "a green square", "a yellow circle")
FOUR = {f"{i}.jpg": f"{SHAPES[i % 4]} number {i}" for i in range(4)}
EIGHT = {f"{i}.jpg": f"{SHAPES[i % 4]} number {i}" for i in range(8)}


def test_quotes_of_a_tsv_are_text() -> None:
    found = captions("01-tsv-quotes/list.tsv")
    texts = {"1.jpg": '"blue circle on a wall', "5.jpg": 'yellow" circle near a red square'}
    assert found == EIGHT | texts


def test_a_quote_of_a_csv_that_is_not_closed_costs_its_own_row() -> None:
    samples = read_all(input=REPORTS / "01c-csv-quotes" / "l.csv")
    assert reasons(samples) == [None, "bad-record", *[None] * 6]
    assert {s.member: s.caption for s in samples} == {name: text for name, text in EIGHT.items() if name != "1.jpg"} | {
        None: None,
        "5.jpg": 'circle" again',
    }


def test_images_with_a_caption_of_their_own_in_a_tar() -> None:
    assert sorted(captions("02-tar-dots")) == ["photo_1.5x.jpg", "photo_1.jpg", "photo_2.final.jpg", "photo_2.jpg"]
    assert len(set(captions("02-tar-dots").values())) == 4


@pytest.mark.parametrize("name", ["04-csv-utf16/l.csv", "16-csv-backslash/l.csv", "17-csv-url-space/l.csv"])
def test_lists_of_other_systems(name: str) -> None:
    assert captions(name) == FOUR


def test_a_packed_list() -> None:
    assert captions("19-jsonl-gz/l.jsonl.gz") == FOUR


@pytest.mark.parametrize("name", ["pandas-gz.csv.gz", "pandas-records.json"])
def test_lists_of_pandas(name: str) -> None:
    samples = read_all(input=REPORTS / "clients" / name)
    assert samples[0].caption == 'He said "hi", then\nleft'
    assert set(reasons(samples)) == {"no-image"}  # the photos are not beside them


def test_capitals_in_a_folder() -> None:
    assert captions("11-folder-upper-txt") == {name.upper(): text for name, text in FOUR.items()}


def test_accents_as_macos_writes_them() -> None:
    samples = read_all(input=REPORTS / "12-nfd-folder")
    assert reasons(samples) == [None, None, None]
    assert all(sample.caption for sample in samples)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match=r"l\.csv: 2 columns are named 'caption'; rename all but one"):
        read_all(input=REPORTS / "13-csv-dup-header" / "l.csv")


def test_an_incremental_tar() -> None:
    assert {Path(str(name)).name: text for name, text in captions("14-tar-gnu-incremental").items()} == {
        name: text for name, text in FOUR.items() if name != "3.jpg"
    }


def test_other_suffixes_in_a_tar() -> None:
    assert captions("15-tar-suffixes") == dict(zip(("0.jpg", "1.ppm", "2.jfif", "3.jpe"), FOUR.values(), strict=True))


def test_two_names_that_differ_in_capitals_in_a_tar() -> None:
    samples = read_all(input=REPORTS / "20-tar-case")
    assert [s.member for s in samples] == ["IMG_1.JPG", "IMG_1.jpg", "IMG_2.jpg"]
    assert reasons(samples) == [None, None, None]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("pandas-sep.csv", 'He said "hi", then\nleft'),
        ("openclip.csv", "A black dog and a spotted dog are fighting"),
    ],
)
def test_lists_with_another_delimiter(name: str, first: str) -> None:
    assert read_all(input=REPORTS / "clients" / name)[0].caption == first


@pytest.mark.parametrize("name", ["05-parquet-uuid", "18-base64-parquet"])
def test_parquet_of_other_types(name: str) -> None:
    samples = read_all(input=REPORTS / name)
    assert reasons(samples) == [None] * len(samples)
    assert all(sample.image and sample.image.startswith(b"\xff\xd8") and sample.caption for sample in samples)


def test_a_kept_uuid() -> None:
    samples = read_all(input=REPORTS / "05-parquet-uuid", keep_cols=("m",))
    assert all(len(str(sample.kept["m"])) == 36 for sample in samples)


def test_images_as_lists_of_numbers() -> None:
    samples = read_all(input=REPORTS / "clients" / "pq-list-uint8.parquet")
    assert reasons(samples) == [None] * 10
    assert all(sample.image and sample.image.startswith(b"\xff\xd8") for sample in samples)


def test_paths_of_another_machine_are_named() -> None:
    samples = read_all(input=REPORTS / "clients" / "hf-to_parquet-paths-only.parquet")
    assert set(reasons(samples)) == {"forbidden-uri"}
