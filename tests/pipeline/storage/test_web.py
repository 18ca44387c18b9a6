"""Input from a web server, which lists no folder; and the stores whose library is an extra."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from pipeline import storage, table
from pipeline.errors import InputError, SiglaneError, UsageError
from pipeline.storage import retries
from tests.embedding import embed
from tests.pipeline.sources.reading import read_all, reasons
from tests.rows import assert_same_rows, rows_of
from tests.samples import jpeg, write_parquet, write_tar
from tests.web import endless_server, web_server


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Two Parquet files, a tar, images, and a manifest that names them."""
    folder = tmp_path / "served"
    for file in range(2):
        numbers = range(file * 5, file * 5 + 5)
        write_parquet(folder / f"{file:02d}.parquet", list(map(jpeg, numbers)), [f"caption {n}" for n in numbers])
    write_tar(folder / "00.tar", [("a.jpg", jpeg(1)), ("a.txt", b"one"), ("b.jpg", jpeg(2)), ("b.txt", b"two")])
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    lines = [{"url": f"{number}.jpg", "caption": f"c{number}"} for number in range(4)]
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_files_of_a_web_server_give_the_rows_of_local_ones(served: Path, tmp_path: Path, model: Path) -> None:
    embed(f"{served}/{{00..01}}.parquet", tmp_path / "local", model)
    with web_server(served) as url:
        assert embed(f"{url}/{{00..01}}.parquet", tmp_path / "braces", model) == {("success", None): 10}
        embed([f"{url}/00.parquet", f"{url}/01.parquet"], tmp_path / "list", model)
        assert embed(f"{url}/{{00..01}}.parquet?signature=x", tmp_path / "braces", model) == {}
        assert embed(f"{url}/00.tar", tmp_path / "tar", model) == {("success", None): 2}
        found = {("success", None): 3, ("rejected", "no-image"): 1}
        assert embed(f"{url}/list.jsonl", tmp_path / "manifest", model) == found
    theirs = rows_of(tmp_path / "local")
    for name in ("braces", "list"):
        ours = rows_of(tmp_path / name)
        for row in [*ours.values(), *theirs.values()]:
            row["source_version"] = row["source_version"].partition("-")[0]
        assert_same_rows(ours, theirs)


def test_captions_beside_signed_images_are_read_and_no_signature_is_shown(served: Path) -> None:
    (served / "0.json").write_text(json.dumps({"caption": "a red barn"}))
    (served / "1.json").write_text("no record")
    with web_server(served) as url:
        captioned, broken = read_all(input=f"{url}/{{0.jpg,0.json,1.jpg,1.json}}?signature=secret")
    assert (captioned.caption, captioned.reject) == ("a red barn", None)
    assert broken.reject is not None
    assert broken.reject.message.startswith("1.json: ")
    assert "secret" not in broken.reject.message


def test_an_answer_that_does_not_end_is_too_large(tmp_path: Path) -> None:
    with endless_server() as url:
        (tmp_path / "list.jsonl").write_text(json.dumps({"url": f"{url}/a.jpg", "caption": "a"}) + "\n")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("pipeline.sources.fetch.MAX_IMAGE_BYTES", 5 << 20)
            (sample,) = read_all(input=tmp_path / "list.jsonl", allow_uri=(url,))
    assert sample.image is None
    assert reasons([sample]) == ["too-large"]


def test_a_web_server_without_ranges_gives_tars_whole_and_no_parquet(served: Path, tmp_path: Path, model: Path) -> None:
    with web_server(served, ranges=False) as url:
        assert embed(f"{url}/00.tar", tmp_path / "tar", model) == {("success", None): 2}
        with pytest.raises(SiglaneError, match="only complete files, not ranges; download the file first"):
            embed(f"{url}/00.parquet", tmp_path / "t", model)


def test_a_folder_of_a_web_server_and_an_absent_file_are_refused(served: Path, tmp_path: Path) -> None:
    with web_server(served) as url:
        with pytest.raises(InputError, match=r"no file or folder matches http://\S+/02\.parquet"):
            storage.list_files(f"{url}/{{00..02}}.parquet")
        with pytest.raises(InputError, match="no such file or folder"):
            storage.list_files(f"{url}/absent.tar")


@pytest.mark.parametrize(("uri", "library", "extra"), [("gs://b", "gcsfs", "gcs"), ("az://c", "adlfs", "azure")])
def test_a_store_whose_library_is_an_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, uri: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    fix = rf"pip install 'siglane\[{extra}\]'"
    with pytest.raises(InputError, match=f"input {uri}/in: .*{fix}"):
        storage.list_files(f"{uri}/in")
    with pytest.raises(InputError, match=f"table {uri}/db/t.*{fix}"):
        table.require_conditional_puts(table.parse_writable(f"{uri}/db/t"))


@pytest.mark.parametrize("uri", ["hf://datasets/o/n/t", "https://host/db/t", "memory://db/t"])
def test_a_table_where_none_can_be_written_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="no table can be written there; use local disk or one of s3://, gs://, az://"):
        table.parse_writable(uri)


def test_a_server_that_is_not_there_is_named_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retries, "FIRST_DELAY_SECONDS", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    uri = f"http://127.0.0.1:{port}/x.parquet"
    named = rf"the store failed \(9 attempts\): .*[Cc]onnect.*127.0.0.1.*{port}"
    with pytest.raises(SiglaneError, match=named) as told:
        read_all(input=f"{uri}?signature=secret")
    assert "secret" not in str(told.value)
    assert all("onnect" in line for line in caplog.messages if "retry in" in line)
