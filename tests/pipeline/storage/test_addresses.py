"""Patterns and lists: which files they stand for, under which path, and what of them is refused."""

from collections.abc import Sequence
from pathlib import Path

import fsspec
import pytest

from pipeline import sources, storage
from pipeline.errors import InputError
from pipeline.sources import SourceOptions
from tests.processes import Siglane

NAMES = ["a/1.jpg", "a/1.txt", "a/deep/2.jpg", "b/3.jpg", "b/.hidden/4.jpg", "top.jpg", "00.tar", "01.tar", "02.tar"]


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same files on local disk and in another file system."""
    if request.param == "memory":
        filesystem = fsspec.filesystem("memory")
        filesystem.rm("/", recursive=True) if filesystem.exists("/in") else None
        filesystem.pipe({f"/in/{name}": name.encode() for name in NAMES})
        return "memory://in"
    for name in NAMES:
        file = tmp_path / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return str(tmp_path / "in")


def listed(inputs: str | Sequence[str]) -> list[str]:
    return [file.path for file in storage.list_files(inputs).files]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.jpg", ["top.jpg"]),
        ("**/*.jpg", ["a/1.jpg", "a/deep/2.jpg", "b/3.jpg", "top.jpg"]),
        ("a/**/*.jpg", ["1.jpg", "deep/2.jpg"]),
        ("*/*.jpg", ["a/1.jpg", "b/3.jpg"]),
        ("[ab]/?.jpg", ["a/1.jpg", "b/3.jpg"]),
        ("[!a]/*", ["b/3.jpg"]),
        ("{00..02}.tar", ["00.tar", "01.tar", "02.tar"]),
        ("0{2..0}.tar", ["00.tar", "01.tar", "02.tar"]),
        ("{a,b}/*.jpg", ["a/1.jpg", "b/3.jpg"]),
        ("{a/deep,b}", ["a/deep/2.jpg", "b/3.jpg"]),
        ("{top.jpg,{00,01}.tar}", ["00.tar", "01.tar", "top.jpg"]),
        ("a/*", ["1.jpg", "1.txt", "deep/2.jpg"]),
        ("b/**", ["3.jpg"]),
        ("[t]op.jpg", ["top.jpg"]),
    ],
)
def test_a_pattern_stands_for_the_files_it_matches_under_paths_below_its_first_folders(
    root: str, pattern: str, paths: list[str]
) -> None:
    files = storage.list_files(f"{root}/{pattern}").files
    assert [file.path for file in files] == paths
    for file in files:
        content = storage.read_bytes(file.uri).decode()
        assert content.endswith(file.path)
        assert file.size == len(content)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("*.png", "*.png"),
        ("nowhere/**/*.jpg", "nowhere/**/*.jpg"),
        ("{00..03}.tar", "03.tar"),
        ("{a,c}/*.jpg", "c/*.jpg"),
        ("{top,bottom}.jpg", "bottom.jpg"),
    ],
)
def test_what_matches_nothing_is_named(root: str, pattern: str, named: str) -> None:
    with pytest.raises(InputError, match="no file or folder matches") as caught:
        listed(f"{root}/{pattern}")
    assert f"/{named}; check --input" in str(caught.value)


@pytest.mark.parametrize("name", ["a*.jpg", "a[1].jpg", "{0..9}.jpg", "a,b.jpg", "{a,b}.jpg", "x{.jpg", "{}.jpg"])
def test_a_local_name_that_is_there_is_taken_as_it_stands(tmp_path: Path, name: str) -> None:
    for each in (name, "aX.jpg", "0.jpg", "a.jpg"):
        (tmp_path / each).write_bytes(b"x")
    assert listed(str(tmp_path / name)) == [name]


def test_a_pattern_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert listed("*.jpg") == ["a.jpg"]


def test_in_a_store_brackets_spell_the_characters_of_patterns() -> None:
    fsspec.filesystem("memory").pipe({"/odd/a*{1,2}.jpg": b"x", "/odd/ab{1,2}.jpg": b"y"})
    assert listed("memory://odd/a[*][{]1,2}.jpg") == ["a*{1,2}.jpg"]


def test_several_inputs_are_one_and_each_has_a_root_of_its_own(root: str) -> None:
    assert listed([f"{root}/a", f"{root}/b/*.jpg", f"{root}/top.jpg"]) == [
        "1.jpg",
        "1.txt",
        "3.jpg",
        "deep/2.jpg",
        "top.jpg",
    ]
    assert listed([f"{root}/{{a,a}}/1.jpg", f"{root}/{{a,b}}/*.jpg"]) == ["a/1.jpg", "b/3.jpg"]


def test_two_files_of_one_path_are_refused_naming_both(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_bytes(b"x")
    both = r"one/x\.jpg and \S+two/x\.jpg have the same source path 'x\.jpg'"
    with pytest.raises(InputError, match=both):
        listed([str(tmp_path / "one"), str(tmp_path / "two")])


def test_a_file_that_is_listed_twice_under_two_paths_is_refused(root: str) -> None:
    with pytest.raises(InputError, match=r"in/a/1\.jpg is listed twice, as '1\.jpg' and as 'a/1\.jpg'"):
        listed([f"{root}/a/*.jpg", f"{root}/**/1.jpg"])


def test_a_brace_of_too_many_members_is_refused_before_it_is_spelled_out() -> None:
    with pytest.raises(InputError, match="more than 1000000 names"):
        listed("memory://in/{0..99999999999}.tar")


@pytest.mark.parametrize("address", ["https://127.0.0.1:9/photos/*.jpg", "https://127.0.0.1:9/{a,b}/[0-9].jpg"])
def test_a_pattern_that_a_web_server_cannot_list_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="a web server cannot list a folder; name the files, with braces"):
        listed(address)


def test_an_input_may_be_given_several_times_and_hold_commas(siglane: Siglane, tmp_path: Path) -> None:
    process = siglane.start("embed", "--input", "a,b", "--input", "c", "--table", "t", "--model", "m", "--print-config")
    out, _ = process.communicate(timeout=60)
    assert "input:\n- a,b\n- c\n" in out


def test_a_configuration_may_name_one_input_or_several() -> None:
    assert SourceOptions.model_validate({"input": "in"}).input == ("in",)
    assert SourceOptions.model_validate({"input": ["a", "b"]}).input == ("a", "b")
    with pytest.raises(InputError, match="the address is empty"):
        sources.resolve(SourceOptions.model_validate({"input": ["a", " "][1:]}))


@pytest.mark.parametrize(
    ("address", "uri", "is_in"),
    [
        ("/data/in", "/data/in/t.lance", True),
        ("/data/in/", "/data/in/db/t.lance", True),
        ("/data/in", "/data/input/t.lance", False),
        ("/data/in/*.tar", "/data/in/t.lance", False),
        ("/data/in/*", "/data/in/t.lance", True),
        ("/data/in/*", "/data/in/out/t.lance", True),
        ("/data/in/**/*.jpg", "/data/in/t.lance", False),
        ("/data/**", "/data/in/t.lance", True),
        ("/data/in/{a,b}", "/data/in/b/t.lance", True),
        ("/data/in/{a,b}", "/data/in/c/t.lance", False),
        ("memory://in", "memory://in/db/t.lance", True),
        ("memory://in/*", "memory://in/db/t.lance", True),
        ("memory://in/*.tar", "memory://in/db/t.lance", False),
        ("memory://in", "/in/db/t.lance", False),
    ],
)
def test_a_table_whose_files_an_input_would_take_in_is_told(address: str, uri: str, is_in: bool) -> None:
    assert storage.takes_in(address, uri) == is_in
