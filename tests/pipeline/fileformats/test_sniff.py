"""What a file holds, from its first bytes: tars whatever their members are named, text, and what has a signature."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.fileformats import sniff
from tests.samples import jpeg


def tar(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


@pytest.mark.parametrize("names", [(), ("000.jpg",), ("{1}.jpg",), ("[2023] a.jpg",), ("BZh.jpg",), ("GIF8/1.jpg",)])
def test_a_tar_is_a_tar_whatever_its_members_are_named(names: tuple[str, ...]) -> None:
    assert sniff.kind(tar(*names)[: sniff.HEAD_BYTES]) == "tar"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "an empty file"),
        (b"a dog\n\tin the snow\r\n", "text"),
        ("ein Hündchen, 犬".encode(), "text"),
        (b'\xef\xbb\xbf{"url": "a.jpg"}', "JSON"),
        (b"<html>404</html>", "HTML"),
        (b"\n\x1f\x8b", "bytes of no known kind, starting b'\\n\\x1f\\x8b'"),
        (b"\x00\x01\x02", "bytes of no known kind, starting b'\\x00\\x01\\x02'"),
    ],
)
def test_other_files(head: bytes, kind: str) -> None:
    assert sniff.kind(head) == kind


def test_files_are_known_whatever_their_names_say(tmp_path: Path) -> None:
    (tmp_path / "photo.txt").write_bytes(jpeg(0))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "table.jpg")
    assert sniff.of_file(str(tmp_path / "photo.txt")) == "JPEG"
    assert sniff.of_file(str(tmp_path / "table.jpg")) == "Parquet"
    assert "JPEG" in sniff.IMAGES
    assert "Parquet" not in sniff.IMAGES
