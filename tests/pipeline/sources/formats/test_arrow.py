"""Arrow IPC files and the folders of Hugging Face's saved datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.sources.formats import arrow
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.samples import jpeg, write_saved_dataset

CAPTIONS = [f"caption {row}" for row in range(20)]


def rows(*numbers: int, **more: object) -> pa.Table:
    images = pa.array([{"bytes": jpeg(row), "path": None} for row in numbers], arrow_images())
    return pa.table({"image": images, "text": [CAPTIONS[row] for row in numbers], **more})


def arrow_images() -> pa.DataType:
    return pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_only_the_data_files_of_a_saved_dataset_are_read(tmp_path: Path) -> None:
    write_saved_dataset(tmp_path, [rows(0, 1), rows(2)])
    for left_over in ("cache-0123456789abcdef.arrow", "data-00002-of-00003.arrow"):
        (tmp_path / left_over).write_bytes((tmp_path / "data-00000-of-00002.arrow").read_bytes())
    samples = read_all(input=tmp_path)
    assert [(s.source.path, s.row, s.rows, s.key, s.caption) for s in samples] == [
        ("data-00000-of-00002.arrow", 0, 2, "0", "caption 0"),
        ("data-00000-of-00002.arrow", 1, 2, "1", "caption 1"),
        ("data-00001-of-00002.arrow", 0, 1, "0", "caption 2"),
    ]


def test_a_saved_dataset_without_one_of_its_files_is_refused(tmp_path: Path) -> None:
    write_saved_dataset(tmp_path / "train", [rows(0, 1), rows(2)])
    (tmp_path / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(InputError, match=r"train/data-00001-of-00002\.arrow: train/state\.json lists this file"):
        read_all(input=tmp_path)


def test_a_state_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_saved_dataset(tmp_path, [rows(0, 1)])
    (tmp_path / "state.json").write_text("[]")
    with pytest.raises(InputError, match=r"state\.json: not the state of a saved dataset"):
        read_all(input=tmp_path)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_both_forms_of_arrow_ipc_are_read(tmp_path: Path, new: object, compression: str | None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with new(tmp_path / "x.arrow", rows(0).schema, options=options) as writer:  # type: ignore[operator]
        writer.write_table(rows(0, 1, 2), 2)
    assert [(s.image, s.caption) for s in read_all(input=tmp_path)] == [(jpeg(i), CAPTIONS[i]) for i in range(3)]


def test_parts_of_a_large_file_have_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "BYTES_PER_PART", 2000)
    with pa.ipc.new_stream(tmp_path / "x.arrow", rows(0).schema) as writer:
        writer.write_table(rows(*range(20)), 3)
    chunks, _ = planned(input=tmp_path)
    assert len(chunks) > 3
    assert [(s.row, s.rows, s.caption) for s in read_all(input=tmp_path)] == [(i, 20, CAPTIONS[i]) for i in range(20)]


def test_few_rows_are_read_at_once_if_they_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_saved_dataset(tmp_path, [rows(*range(9))])
    monkeypatch.setattr(arrow, "BYTES_PER_READ", 2 * len(jpeg(0)))
    sizes: list[int] = []
    real = arrow.columns.values
    monkeypatch.setattr(arrow.columns, "values", lambda column: sizes.append(len(column)) or real(column))
    assert len(read_all(input=tmp_path)) == 9
    assert max(sizes) <= 2


def test_a_file_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    with pa.ipc.new_stream(tmp_path / "x.arrow", rows(0).schema) as writer:
        writer.write_table(rows(*range(6)), 2)
    whole = (tmp_path / "x.arrow").read_bytes()
    (tmp_path / "x.arrow").write_bytes(whole[: len(whole) * 5 // 6])
    samples = read_all(input=tmp_path)
    assert [(s.row, s.rows, s.caption) for s in samples] == [(i, 5, CAPTIONS[i]) for i in range(4)] + [(4, 5, None)]
    assert reasons(samples) == [None] * 4 + ["bad-arrow"]
    assert "x.arrow: the rest of the file: " in samples[4].reject.message  # type: ignore[union-attr]


def test_a_first_file_that_is_not_arrow_is_refused_with_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "x.arrow").write_bytes(b"<html>404</html>")
    with pytest.raises(InputError, match=r"x\.arrow: not readable as Arrow: looks like HTML"):
        read_all(input=tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\xff\xff\xff\xff", b"ARROW1\0\0", b"\0" * 64])
def test_a_later_file_that_is_not_arrow_is_one_rejected_row(tmp_path: Path, content: bytes) -> None:
    write_saved_dataset(tmp_path, [rows(0), rows(1)])
    (tmp_path / "data-00001-of-00002.arrow").write_bytes(content)
    samples = read_all(input=tmp_path)
    assert [(s.source.path, s.row, s.rows) for s in samples][1:] == [("data-00001-of-00002.arrow", 0, 1)]
    assert reasons(samples) == [None, "bad-arrow"]


def test_the_rows_of_a_later_file_without_images_are_rejected_one_by_one(tmp_path: Path) -> None:
    write_saved_dataset(tmp_path, [rows(0), pa.table({"text": ["a", "b"]})])
    samples = read_all(input=tmp_path)
    assert reasons(samples) == [None, "bad-arrow", "bad-arrow"]
    assert [(s.row, s.rows) for s in samples[1:]] == [(0, 2), (1, 2)]


def test_kept_columns_have_the_types_of_the_first_file(tmp_path: Path) -> None:
    write_saved_dataset(tmp_path, [rows(0, url=["http://a"]), rows(1, url=pa.array(["http://b"], pa.large_string()))])
    write_saved_dataset(tmp_path / "more", [rows(2)])
    assert [s.kept for s in read_all(input=tmp_path)] == [{"url": "http://a"}, {"url": "http://b"}, {"url": None}]


def test_arrow_is_known_by_its_content_too(tmp_path: Path) -> None:
    with pa.ipc.new_stream(tmp_path / "dataset", rows(0).schema) as writer:
        writer.write_table(rows(0))
    assert [s.caption for s in read_all(input=tmp_path / "dataset")] == ["caption 0"]


def test_metadata_of_a_dataset_in_the_cache_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(json.dumps({"dataset_name": "x"}))
    for name in ("x-train.arrow", "cache-0123.arrow"):
        with pa.ipc.new_stream(tmp_path / name, rows(0).schema) as writer:
            writer.write_table(rows(0))
    assert [s.source.path for s in read_all(input=tmp_path)] == ["x-train.arrow"]
