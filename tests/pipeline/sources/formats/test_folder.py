"""Folders: which file belongs to which image, by their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipeline.sample import IMAGE_SUFFIXES
from siglip_core.preprocess import FORMATS
from tests.pipeline.sources.reading import read_all, reasons
from tests.samples import jpeg


def test_names_with_several_dots_are_told_apart_by_all_but_the_last_part(tmp_path: Path) -> None:
    for name in ("a", "a.v1", "a.v2"):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(len(name)))
        (tmp_path / f"{name}.txt").write_text(f"caption of {name}")
    assert {(s.source.path, s.key, s.caption) for s in read_all(input=tmp_path)} == {
        ("a.jpg", "a", "caption of a"),
        ("a.v1.jpg", "a.v1", "caption of a.v1"),
        ("a.v2.jpg", "a.v2", "caption of a.v2"),
    }


def test_images_of_one_name_in_several_folders_have_each_their_own_caption(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_bytes(jpeg(0))
        (tmp_path / folder / "a.txt").write_text(f"caption in {folder}")
    assert {(s.source.path, s.caption) for s in read_all(input=tmp_path)} == {
        ("one/a.jpg", "caption in one"),
        ("two/a.jpg", "caption in two"),
    }


def pairs(folder: Path) -> dict[str, str | None]:
    return {sample.source.path: sample.caption for sample in read_all(input=folder)}


@pytest.mark.parametrize("suffix", [".TXT", ".Txt", ".caption", ".CAPTION"])
def test_captions_may_have_other_suffixes_and_capitals(tmp_path: Path, suffix: str) -> None:
    for index in range(2):
        (tmp_path / f"{index}.JPG").write_bytes(jpeg(index))
        (tmp_path / f"{index}{suffix}").write_text(f"caption {index}")
    (tmp_path / "2.JPG").write_bytes(jpeg(2))
    (tmp_path / "2.JSON").write_text('{"caption": "caption 2"}')
    assert pairs(tmp_path) == {f"{index}.JPG": f"caption {index}" for index in range(3)}


def test_of_two_suffixes_that_differ_in_capitals_each_belongs_to_its_like(tmp_path: Path) -> None:
    for suffixes in (("JPG", "TXT"), ("jpg", "txt")):
        (tmp_path / f"IMG_1.{suffixes[0]}").write_bytes(jpeg(0))
        (tmp_path / f"IMG_1.{suffixes[1]}").write_text(f"caption in {suffixes[1]}")
    assert pairs(tmp_path) == {"IMG_1.JPG": "caption in TXT", "IMG_1.jpg": "caption in txt"}
    (tmp_path / "IMG_1.TXT").unlink()
    assert pairs(tmp_path) == {"IMG_1.JPG": "caption in txt", "IMG_1.jpg": "caption in txt"}


def test_names_that_look_alike_are_matched_where_no_name_is_the_same(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (tmp_path / f"{composed}.jpg").write_bytes(jpeg(0))
    (tmp_path / f"{decomposed}.txt").write_text("decomposed")
    assert pairs(tmp_path) == {f"{composed}.jpg": "decomposed"}
    (tmp_path / f"{composed}.txt").write_text("composed")
    (tmp_path / f"{decomposed}.jpg").write_bytes(jpeg(1))
    assert pairs(tmp_path) == {f"{composed}.jpg": "composed", f"{decomposed}.jpg": "decomposed"}


def test_names_that_look_alike_are_matched_in_a_folder_of_captions_too(tmp_path: Path) -> None:
    for folder in ("images", "captions"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "caf\u00e9.jpg").write_bytes(jpeg(0))
    (tmp_path / "captions" / "cafe\u0301.txt").write_text("decomposed")
    assert pairs(tmp_path) == {"images/caf\u00e9.jpg": "decomposed"}
    (tmp_path / "captions" / "caf\u00e9.txt").write_text("composed")
    assert pairs(tmp_path) == {"images/caf\u00e9.jpg": "composed"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_captions_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    for index in range(3):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg(index))
    (tmp_path / "0.txt").write_bytes("caf\u00e9 \U0001f415\r\n".encode(encoding))
    (tmp_path / "1.json").write_bytes('{"caption": "caf\u00e9"}'.encode(encoding))
    (tmp_path / "2.txt").write_bytes("\ufeffa".encode("utf-16-le")[:3])
    samples = read_all(input=tmp_path)
    assert [sample.caption for sample in samples] == ["caf\u00e9 \U0001f415", "caf\u00e9", None]
    assert reasons(samples) == [None, None, "bad-caption"]


def test_every_suffix_of_a_format_that_is_decoded_is_that_of_an_image() -> None:
    Image.init()
    decoded = {suffix for suffix, name in Image.EXTENSION.items() if name in FORMATS}
    assert decoded <= set(IMAGE_SUFFIXES)
    of_plugins = {".heic", ".heics", ".heif", ".heifs", ".hif", ".jxl"}
    assert {suffix for suffix in IMAGE_SUFFIXES if suffix not in decoded} == {".mpo", *of_plugins}
