"""A dataset that was moved or copied is the same dataset; one whose content has changed is not."""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputError
from pipeline.resume import copies
from tests.embedding import embed
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet, write_photos, write_tar

COMPARING = "comparing the content"


def copied(folder: Path, to: Path) -> Path:
    """A copy of a folder; every file of it has a time of its own."""
    shutil.copytree(folder, to, copy_function=shutil.copy)
    for number, file in enumerate(sorted(to.rglob("*"))):
        os.utime(file, (1_000_000_000 + number, 1_000_000_000 + number))
    return to


def folder_of_photos(folder: Path) -> Path:
    return write_photos(folder, 5)


def tars(folder: Path) -> Path:
    for tar in range(3):
        members = [(f"{tar}{n}.jpg", jpeg(n)) for n in range(3)] + [(f"{tar}{n}.txt", b"a caption") for n in range(3)]
        write_tar(folder / f"{tar}.tar", [*members, (f"{tar}9.jpg", b"broken"), (f"{tar}9.txt", b"broken")])
    return folder


def parquet_files(folder: Path) -> Path:
    for file in range(3):
        images = [jpeg(file * 10 + row) for row in range(6)]
        write_parquet(folder / f"{file}.parquet", [*images, None], [f"caption {row}" for row in range(7)])
    return folder


@pytest.mark.parametrize("write", [folder_of_photos, tars, parquet_files])
def test_a_copy_elsewhere_with_other_times_is_the_same_dataset(
    write: object, tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path / "in")  # type: ignore[operator]
    embed(folder, tmp_path / "t", model)
    before = rows_of(tmp_path / "t")
    copy = copied(folder, tmp_path / "elsewhere" / "in2")
    with caplog.at_level(logging.INFO):
        assert embed(copy, tmp_path / "t", model) == {}
        assert COMPARING in caplog.text
        caplog.clear()
        assert embed(copy, tmp_path / "t", model) == {}
        assert COMPARING not in caplog.text
    after = rows_of(tmp_path / "t")
    for key, row in after.items():
        assert row["source_version"] != before[key]["source_version"]
        row["source_version"] = before[key]["source_version"]
    assert_same_rows(after, before)


def test_a_run_goes_on_in_a_copy_where_it_stopped_in_the_original(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.stages import decode

    folder = parquet_files(tmp_path / "in")
    monkeypatch.setattr(decode, "PAIRS_PER_WINDOW", 2)
    real, calls = decode.decode, iter(range(100))

    def fails_late(*arguments: object, **more: object) -> object:
        if next(calls) == 10:
            raise OSError("the store is gone")
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "decode", fails_late)
    with pytest.raises(OSError, match="gone"):
        embed(folder, tmp_path / "t", model)
    done = len(rows_of(tmp_path / "t"))
    assert 7 < done < 14, "a source is there in part"
    assert embed(copied(folder, tmp_path / "copy"), tmp_path / "t", model).total() == 21 - done
    rows = rows_of(tmp_path / "t")
    assert len(rows) == 21
    assert {row["source_version"].partition("-")[2] for row in rows.values()} == {
        f"{1_000_000_000 + number}.000000" for number in range(3)
    }


def test_an_equal_size_does_not_make_another_content_a_copy(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "ROWS_IN_MEMORY", 8)  # so several groups
    photos, tarred, rows = folder_of_photos(tmp_path / "a"), tars(tmp_path / "b"), parquet_files(tmp_path / "c")
    for file in rows.iterdir():
        pq.write_table(pq.read_table(file), file, compression="none", use_dictionary=False)
    for folder in (photos, tarred, rows):
        embed(folder, tmp_path / folder.name, model)
    caption = photos / "photo0003.txt"
    caption.write_text(caption.read_text().replace("sea", "tea"))
    changed = tarred / "1.tar"
    changed.write_bytes(changed.read_bytes().replace(b"a caption", b"a cAption"))
    data = (rows / "2.parquet").read_bytes()
    (rows / "2.parquet").write_bytes(data.replace(jpeg(23), jpeg(23)[:-30] + bytes(28) + jpeg(23)[-2:]))
    for folder, complaint in (
        (photos, r"photo0003\.jpg: changed since it was embedded into \S+ \(row 0 has another caption\)"),
        (tarred, r"1\.tar: changed since it was embedded into \S+ \(row 0 has another caption\)"),
        (rows, r"2\.parquet: changed since it was embedded into \S+ \(row 3 has another image\)"),
    ):
        for file in folder.iterdir():
            os.utime(file, (1_000_000_000, 1_000_000_000))
        with pytest.raises(InputError, match=complaint):
            embed(folder, tmp_path / folder.name, model)


def test_a_large_copy_is_compared_by_a_choice_of_its_sources(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(copies, "MAX_ROWS", 12)
    folder = write_photos(tmp_path / "in", 40)
    embed(folder, tmp_path / "t", model)
    copy = copied(folder, tmp_path / "copy")
    with caplog.at_level(logging.INFO):
        assert embed(copy, tmp_path / "t", model) == {}
    assert "40 sources have other times" in caplog.text
    assert f"{COMPARING} of 12 of them" in caplog.text
    for photo in copied(folder, tmp_path / "changed").glob("*.txt"):
        photo.write_text(photo.read_text().replace("number", "Number"))
    with pytest.raises(InputError, match="has another caption"):
        embed(tmp_path / "changed", tmp_path / "t", model)


def test_every_changed_source_is_replaced_though_a_choice_would_do_to_refuse_them(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MAX_ROWS", 1)
    monkeypatch.setattr(copies, "MIN_SOURCES", 1)
    folder = write_photos(tmp_path / "in", 9)
    embed(folder, tmp_path / "t", model)
    changed = copied(folder, tmp_path / "changed")
    for photo in sorted(changed.glob("*.txt"))[::2]:
        photo.write_text(photo.read_text().replace("number", "Number"))
        os.utime(photo, (1_000_000_000, 1_000_000_000))
    assert embed(changed, tmp_path / "t", model, replace_changed=True) == {("success", None): 5}
    embed(changed, tmp_path / "fresh", model)
    assert_same_rows(rows_of(tmp_path / "t"), rows_of(tmp_path / "fresh"))


def test_rows_missing_at_the_end_of_a_file_of_equal_size_are_a_change(tmp_path: Path, model: Path) -> None:
    file = write_tar(tmp_path / "in" / "a.tar", [(f"{n}.jpg", jpeg(n)) for n in range(2)])
    embed(tmp_path / "in", tmp_path / "t", model)
    with tarfile.open(file) as tar:
        end = tar.getmember("1.jpg").offset
    data = file.read_bytes()
    file.write_bytes(data[:end] + bytes(len(data) - end))  # zeros end a tar
    os.utime(file, (1_000_000_000, 1_000_000_000))
    with pytest.raises(InputError, match=r"a\.tar: changed since .*\(row 1 is missing\)"):
        embed(tmp_path / "in", tmp_path / "t", model)


def test_a_file_of_another_size_is_described_with_dates(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 2)
    caption = tmp_path / "in" / "photo0001.txt"
    os.utime(tmp_path / "in" / "photo0001.jpg", (1_700_000_000, 1_700_000_000))
    os.utime(caption, (1_700_000_000.5, 1_700_000_000.5))
    embed(tmp_path / "in", tmp_path / "t", model)
    size = caption.stat().st_size
    caption.write_text("a caption of another length\n")
    os.utime(caption, (1_800_000_000, 1_800_000_000))
    photo = (tmp_path / "in" / "photo0001.jpg").stat().st_size
    with pytest.raises(InputError) as failure:
        embed(tmp_path / "in", tmp_path / "t", model)
    assert (
        f"(was {photo} bytes of 2023-11-14 22:13:20.000+00:00 and {size} bytes of 2023-11-14 22:13:20.500+00:00, "
        f"is now {photo} bytes of 2023-11-14 22:13:20.000+00:00 and 28 bytes of 2027-01-15 08:00:00.000+00:00)"
    ) in str(failure.value)
