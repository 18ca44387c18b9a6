"""Members as the standard library writes them, byte for byte."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from pipeline.fileformats import tar_writer

MEMBERS = [
    (b"000000000000.jpg", bytes(range(256)) * 3),
    (b"a.txt", b""),
    (b"x" * 100, b"y" * tarfile.BLOCKSIZE),
    ("é.json".encode(), b"{}"),
]


def test_members_are_those_that_tarfile_writes() -> None:
    theirs = io.BytesIO()
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in MEMBERS:
            info = tarfile.TarInfo(name.decode())
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ours = b"".join(part for name, data in MEMBERS for part in tar_writer.member(name, data)) + tar_writer.END
    assert theirs.getvalue().startswith(ours)
    assert not any(theirs.getvalue()[len(ours) :])  # tarfile fills up to a record of 10 KiB


def test_more_parts_than_one_call_takes_are_all_written(tmp_path: Path) -> None:
    parts = [b"%d," % number for number in range(3 * os.sysconf("SC_IOV_MAX") + 1)]
    with (tmp_path / "file").open("ab") as file:
        tar_writer.append(file, parts)
        tar_writer.append(file, [b"end"])
    assert (tmp_path / "file").read_bytes() == b"".join(parts) + b"end"
