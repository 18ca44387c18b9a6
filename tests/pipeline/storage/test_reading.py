"""Listing and opening: names that look like URLs, links, and protocols that are not there."""

import os
import pickle
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import known_implementations

from pipeline import storage
from pipeline.errors import InputError


def listed(folder: Path) -> list[str]:
    return [file.path for file in storage.list_files(str(folder)).files]


@pytest.mark.parametrize("name", ["a::b.jpg", "zip::b.jpg", "a#b?c=d%20.jpg", "50% * [x].jpg", "ünï 写.jpg"])
def test_a_file_is_opened_by_the_name_it_is_listed_under(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    (file,) = storage.list_files(str(tmp_path)).files
    assert (file.path, storage.read_bytes(file.uri)) == (name, b"content")
    assert [found.path for found in storage.list_files(str(tmp_path / name)).files] == [name]
    assert pickle.loads(pickle.dumps(file)) == file


def test_a_relative_input_is_listed_with_addresses_that_hold_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    (file,) = storage.list_files("in/").files
    monkeypatch.chdir("/")
    assert (file.path, storage.read_bytes(file.uri)) == ("a.jpg", b"content")


def test_files_of_another_file_system_are_listed_and_opened_alike() -> None:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe({"/store/in/b/x.jpg": b"x", "/store/in/.hidden/y.jpg": b"y", "/store/in/a.jpg": b"z"})
    files = storage.list_files("memory://store/in").files
    assert [(file.path, storage.read_bytes(file.uri)) for file in files] == [("a.jpg", b"z"), ("b/x.jpg", b"x")]
    (single,) = storage.list_files("memory://store/in/b/x.jpg").files
    assert (single.path, storage.read_bytes(single.uri)) == ("x.jpg", b"x")


def test_a_remote_file_is_copied_for_as_long_as_it_is_read_and_a_local_one_is_not(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/store/x.tar", b"content")
    with storage.local_copy("memory://store/x.tar") as copy:
        assert copy.read_bytes() == b"content"
    assert not copy.exists()
    (tmp_path / "x.tar").write_bytes(b"content")
    with storage.local_copy(str(tmp_path / "x.tar")) as same:
        assert same == tmp_path / "x.tar"


def test_a_linked_file_has_the_size_and_time_of_its_target(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    blob.write_bytes(b"content")
    os.utime(blob, (1_000_000_000, 1_000_000_000))
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "x.parquet").symlink_to("../blobs/0123")

    (file,) = storage.list_files(str(folder)).files
    (single,) = storage.list_files(str(folder / "x.parquet")).files

    assert (file.path, file.size, file.version) == ("x.parquet", 7, "7-1000000000.000000")
    assert single.version == file.version
    os.utime(folder / "x.parquet", (1, 1), follow_symlinks=False)
    assert storage.list_files(str(folder)).files == (file,)


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "x.jpg").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root").symlink_to(tmp_path / "in")
    assert listed(tmp_path / "in") == listed(tmp_path / "root") == ["linked/deep/x.jpg"]


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_that_holds_it_is_named(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "in" / "a"
    folder.mkdir(parents=True)
    (folder / "round").symlink_to(target)
    leads_back = "this link leads back to a folder that contains it; remove the link"
    with pytest.raises(InputError, match=rf"in/a/round.*: {leads_back}"):
        listed(tmp_path / "in")


def test_a_dangling_link_is_named_unless_hidden(tmp_path: Path) -> None:
    (tmp_path / ".#lock").symlink_to("nobody@nowhere")
    (tmp_path / "x.jpg").write_bytes(b"x")
    assert listed(tmp_path) == ["x.jpg"]
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(InputError, match=r"gone\.jpg: the target of this link is missing; fix or remove the link"):
        listed(tmp_path)


def test_what_is_neither_file_nor_folder_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match=r"pipe\.jpg: neither a file nor a folder; remove it"):
        listed(tmp_path)


def test_a_name_that_is_not_utf8_is_named_by_its_bytes(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"x")
    with pytest.raises(InputError, match=r"the name b'\\xff\.jpg' is not UTF-8; rename the file"):
        listed(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(InputError, match="shut: Permission denied"):
        listed(tmp_path)


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"x")
    (file,) = storage.list_files(str(tmp_path)).files
    (tmp_path / "x.jpg").unlink()
    with pytest.raises(InputError, match=r"x\.jpg: No such file"):
        storage.read_bytes(file.uri)


@pytest.mark.parametrize("uri", ["", "  "])
def test_an_empty_input_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="input: the address is empty; give a folder or file with --input"):
        storage.list_files(uri)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError, match=r"input s4://bucket/in: unknown protocol 's4'; check --input"):
        storage.list_files("s4://bucket/in")


def test_a_store_whose_library_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        known_implementations,
        "absent",
        {"class": "absentfs.core.AbsentFileSystem", "err": "Install absentfs to access it"},
    )
    with pytest.raises(InputError, match=r"input absent://bucket/in: .*; pip install absentfs"):
        storage.list_files("absent://bucket/in")
