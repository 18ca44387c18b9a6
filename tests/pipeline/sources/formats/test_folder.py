"""Folders: which file belongs to which image, by their names."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.sources.reading import read_all
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
