"""Messages stay short, whatever texts the input has: each is a cell of the table, and a line of a terminal."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from tests.pipeline.sources.reading import read_all
from tests.samples import jpeg, write_parquet, write_tar

LONG = "x" * 100_000
MOST = 700


def jsonl(folder: Path, *records: object) -> None:
    (folder / "x.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def a_path(folder: Path) -> None:
    jsonl(folder, {"url": LONG[:4000] + ".jpg", "caption": "a"})


def a_path_of_no_file(folder: Path) -> None:
    jsonl(folder, {"url": f"{LONG}.jpg", "caption": "a"}, {"url": f"../{LONG}.jpg"}, {"url": f"https://h/{LONG}.jpg"})


def base64(folder: Path) -> None:
    jsonl(folder, {"url": LONG + "$"}, {"url": f"data:image/png;base64,{LONG}$"}, {"url": f"data:image/png {LONG}"})


def a_number_in_place_of_an_image(folder: Path) -> None:
    jsonl(folder, {"url": "a.jpg"}, {"url": {"x": LONG}}, {"url": [[LONG]]})


def a_key_of_a_tar(folder: Path) -> None:
    info = tarfile.TarInfo(f"{LONG}.cls")
    double = tarfile.TarInfo(f"{LONG}2.jpg")
    link = tarfile.TarInfo(f"{LONG}3.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, LONG
    caption = tarfile.TarInfo(f"{LONG}4.txt")
    caption.size = 1
    with tarfile.open(folder / "0.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for member in (info, double, double, link):
            tar.addfile(member)
        tar.addfile(tarfile.TarInfo(f"{LONG}2.txt"))
        tar.addfile(caption, io.BytesIO(b"\xff"))


def the_error_of_a_download(folder: Path) -> None:
    log = {"status": ["failed_to_download"], "error_message": [LONG], "key": ["0"]}
    write_parquet(folder / "0.parquet", [None], ["a"], **log)
    (folder / "0_stats.json").write_text("{}")


def the_error_of_a_download_beside_a_tar(folder: Path) -> None:
    write_tar(folder / "0.tar", [("0.jpg", jpeg(0)), ("0.txt", b"a")])
    the_error_of_a_download(folder)


REJECTED = [
    a_path,
    a_path_of_no_file,
    base64,
    a_number_in_place_of_an_image,
    a_key_of_a_tar,
    the_error_of_a_download,
    the_error_of_a_download_beside_a_tar,
]


@pytest.mark.parametrize("write", REJECTED)
def test_of_a_long_text_a_reject_shows_the_start(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    rejects = [sample.reject for sample in read_all(input=tmp_path) if sample.reject is not None]
    assert rejects
    assert max(len(reject.message) for reject in rejects) < MOST


def a_name_of_a_field(folder: Path) -> None:
    jsonl(folder, {LONG: 1})


def many_names_of_fields(folder: Path) -> None:
    jsonl(folder, {f"field {number}": "a" for number in range(10_000)})


def a_column_of_a_csv(folder: Path) -> None:
    (folder / "x.csv").write_text(f"{LONG},a\n1,2\n")


def many_columns_of_parquet(folder: Path) -> None:
    pq.write_table(pa.table({f"column {number}": ["a"] for number in range(2_000)}), folder / "0.parquet")


def a_wide_struct(folder: Path) -> None:
    struct = pa.struct([(f"field {number}", pa.int8()) for number in range(1_000)])
    pq.write_table(pa.table({"image": pa.array([None], struct)}), folder / "0.parquet")


@pytest.mark.parametrize(
    "write", [a_name_of_a_field, many_names_of_fields, a_column_of_a_csv, many_columns_of_parquet, a_wide_struct]
)
def test_of_many_and_long_names_an_error_shows_some(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match="no column of images among") as refused:
        read_all(input=tmp_path)
    assert len(str(refused.value)) < MOST + 300
    with pytest.raises(InputError, match="no column 'image_column'; it has ") as refused:
        read_all(input=tmp_path, image_col="image_column")
    assert len(str(refused.value)) < MOST + 300
