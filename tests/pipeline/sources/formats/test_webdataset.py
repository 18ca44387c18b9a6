"""Tars: what their samples are, and that whatever cannot be read of one is named."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.fileformats import compression, tar
from pipeline.sources import captions
from pipeline.sources.formats import webdataset
from tests.pipeline.sources.reading import planned, read_all, reasons
from tests.samples import jpeg, write_parquet, write_tar

BLOCK = 512


def pairs(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    keys = range(first, first + count)
    return [item for i in keys for item in ((f"{i:03}.jpg", jpeg(i)), (f"{i:03}.txt", f"caption {i}".encode()))]


JPEGS = [jpeg(i) for i in range(8)]


def header_of(file: Path, name: str) -> int:
    with tarfile.open(file) as opened:
        return opened.getmember(name).offset


def overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as handle:
        handle.seek(offset)
        handle.write(data)


PACKED = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("name", ["x.tar{}", "x.t{}", "x.tar", "x"])
def test_a_tar_may_be_packed(tmp_path: Path, suffix: str, name: str) -> None:
    data = write_tar(tmp_path / "x.tar", pairs(3)).read_bytes()
    (tmp_path / "in").mkdir()
    name = name.format(suffix if "tar" in name else suffix.removeprefix("."))
    (tmp_path / "in" / name).write_bytes(PACKED[suffix](data))
    samples = read_all(input=tmp_path / "in")
    assert [(s.source.path, s.caption, s.reject) for s in samples] == [(name, f"caption {i}", None) for i in range(3)]


def test_a_damaged_byte_of_a_packed_tar_costs_no_pair_before_it(tmp_path: Path) -> None:
    data = write_tar(tmp_path / "x.tar", pairs(8)).read_bytes()
    (tmp_path / "in").mkdir()
    for place in range(200, 1000, 70):
        packed = bytearray(gzip.compress(data, mtime=0))
        at = place * len(packed) // 1000
        packed[at] ^= 0x10
        (tmp_path / "in" / "x.tgz").write_bytes(packed)
        whole = len(zlib.decompressobj(31).decompress(bytes(packed[:at])))
        samples = [s for s in read_all(input=tmp_path / "in", input_format="webdataset") if s.image in JPEGS]
        before = sum(header_of(tmp_path / "x.tar", f"{i:03}.txt") + 2 * BLOCK <= whole for i in range(8))
        assert len([s for s in samples if s.caption]) >= before


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz"), ("x.tar", "w:gz")])
def test_a_tar_pairs_members_by_key(tmp_path: Path, name: str, mode: str) -> None:
    write_tar(tmp_path / name, pairs(3), mode)
    samples = read_all(input=tmp_path)
    assert [(s.source.path, s.row, s.rows, s.key, s.member, s.caption) for s in samples] == [
        (name, i, 3, f"{i:03}", f"{i:03}.jpg", f"caption {i}") for i in range(3)
    ]
    assert [sample.image for sample in samples] == [jpeg(i) for i in range(3)]


def test_rows_follow_the_first_appearance_of_keys_in_an_unsorted_tar(tmp_path: Path) -> None:
    images, texts = pairs(3)[::2], pairs(3)[1::2]
    write_tar(tmp_path / "x.tar", [texts[2], *images, texts[0], texts[1]])
    samples = read_all(input=tmp_path)
    assert [(s.row, s.key, s.caption) for s in samples] == [
        (0, "002", "caption 2"),
        (1, "000", "caption 0"),
        (2, "001", "caption 1"),
    ]


def test_suffixes_in_capitals_and_dots_in_names(tmp_path: Path) -> None:
    names = ["A.JPG", "A.TXT", "v1.0/x.y.jpeg", "v1.0/x.y.txt", "v1.0/x.z.jpg", "v1.0/x.z.txt"]
    write_tar(tmp_path / "x.tar", [(name, jpeg(0) if "j" in name.lower() else name.encode()) for name in names])
    samples = read_all(input=tmp_path)
    assert [(s.key, s.member, s.caption) for s in samples] == [
        ("A", "A.JPG", "A.TXT"),
        ("v1.0/x", "v1.0/x.y.jpeg", "v1.0/x.y.txt"),
        ("v1.0/x#1", "v1.0/x.z.jpg", "v1.0/x.z.txt"),
    ]


def test_an_image_with_a_caption_of_its_own_is_a_sample_beside_that_of_its_key(tmp_path: Path) -> None:
    names = ["photo_1.jpg", "photo_1.txt", "photo_1.5x.jpg", "photo_1.5x.txt", "photo_2.v1.2.png", "photo_2.v1.2.txt"]
    names += ["photo_2.jpg", "photo_2.txt", "photo_2.seg.png"]
    members = [(name, name.encode() if name.endswith("txt") else jpeg(i)) for i, name in enumerate(names)]
    records = [{"caption": "of a record"}, {"classes": 7}]
    for place, record in enumerate(records):
        members += [(f"photo_{place}.field.jpg", jpeg(20)), (f"photo_{place}.field.json", json.dumps(record).encode())]
    write_tar(tmp_path / "x.tar", [*members, ("photo_0.jpg", jpeg(21))])
    assert {s.member: s.caption for s in read_all(input=tmp_path)} == {
        "photo_1.jpg": "photo_1.txt",
        "photo_1.5x.jpg": "photo_1.5x.txt",
        "photo_2.v1.2.png": "photo_2.v1.2.txt",
        "photo_2.jpg": "photo_2.txt",
        "photo_0.field.jpg": "of a record",
        "photo_0.jpg": None,
    }
    assert len({s.key for s in read_all(input=tmp_path)}) == 6


@pytest.mark.parametrize("suffix", [".caption", ".TXT", ".Caption"])
def test_captions_may_have_other_suffixes(tmp_path: Path, suffix: str) -> None:
    write_tar(
        tmp_path / "x.tar",
        [("0.JPG", jpeg(0)), (f"0{suffix}", b"a"), ("1.jpg", jpeg(1)), ("1.JSON", b'{"caption": "b"}')],
    )
    assert [sample.caption for sample in read_all(input=tmp_path)] == ["a", "b"]
    (chunk,), _options = planned(input=tmp_path)
    assert chunk.captioned


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "ppm", "PGM", "tga", "qoi", "ico", "dib", "img"])
def test_an_image_of_every_suffix_is_taken(tmp_path: Path, suffix: str) -> None:
    write_tar(tmp_path / "x.tar", [(f"0.{suffix}", jpeg(0)), ("0.txt", b"a")])
    assert [(s.image, s.caption, s.reject) for s in read_all(input=tmp_path)] == [(jpeg(0), "a", None)]


def test_names_that_differ_in_capitals_alone_are_samples_each(tmp_path: Path) -> None:
    members = [("I.JPG", jpeg(0)), ("I.jpg", jpeg(1)), ("I.txt", b"small")]
    write_tar(tmp_path / "x.tar", members)
    assert [(s.image, s.caption, s.reject) for s in read_all(input=tmp_path)] == [
        (jpeg(0), "small", None),
        (jpeg(1), "small", None),
    ]
    write_tar(tmp_path / "x.tar", [*members, ("I.TXT", b"LARGE")])
    assert [(s.image, s.caption) for s in read_all(input=tmp_path)] == [(jpeg(0), "LARGE"), (jpeg(1), "small")]


@pytest.mark.parametrize("swapped", [False, True])
def test_names_that_look_alike_are_matched_where_no_name_is_the_same(tmp_path: Path, swapped: bool) -> None:
    composed, decomposed = ("cafe\u0301", "caf\u00e9") if swapped else ("caf\u00e9", "cafe\u0301")
    alone = [(f"{composed}.jpg", jpeg(0)), *pairs(1), (f"{decomposed}.txt", b"of the other form")]
    for members in (alone, alone[::-1]):
        write_tar(tmp_path / "x.tar", members)
        found = {s.key: (s.caption, s.rows) for s in read_all(input=tmp_path)}
        assert found == {composed: ("of the other form", 2), "000": ("caption 0", 2)}
    write_tar(tmp_path / "x.tar", [*alone, (f"{composed}.txt", b"own"), (f"{decomposed}.jpg", jpeg(1))])
    found = {s.key: (s.caption, s.rows) for s in read_all(input=tmp_path)}
    assert found == {composed: ("own", 3), "000": ("caption 0", 3), decomposed: ("of the other form", 3)}


def test_other_fields_of_a_sample_are_not_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("0.jpg", jpeg(0)), ("0.seg.png", b"mask"), ("0.txt", b"a"), ("1.cls", b"7")])
    samples = read_all(input=tmp_path)
    assert [(s.key, s.member, s.caption) for s in samples] == [("0", "0.jpg", "a"), ("1", None, None)]
    assert samples[1].reject is not None
    assert samples[1].reject.message == "x.tar: sample '1' has no image, only 1.cls"


def test_several_images_of_a_key_share_its_caption(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("0.jpg", jpeg(0)), ("0.png", jpeg(1)), ("0.txt", b"a"), *pairs(1, first=1)])
    samples = read_all(input=tmp_path)
    assert [(s.row, s.rows, s.key, s.caption) for s in samples] == [
        (0, 3, "0", "a"),
        (1, 3, "0#1", "a"),
        (2, 3, "001", "caption 1"),
    ]


def test_captions_of_json_records(tmp_path: Path) -> None:
    records = [{"caption": ["a", "b"]}, {"caption": "c"}, {"caption": None}, {"caption": 7}]
    members = [(f"{i}.{kind}", data) for i, r in enumerate(records) for kind, data in _record(i, r)]
    write_tar(tmp_path / "x.tar", [*members, ("4.jpg", jpeg(4)), ("4.json", b"{not json")])
    samples = read_all(input=tmp_path)
    assert [(s.row, s.rows, s.key, s.caption) for s in samples] == [
        (0, 6, "0", "a"),
        (1, 6, "0#1", "b"),
        (2, 6, "1", "c"),
        (3, 6, "2", None),
        (4, 6, "3", None),
        (5, 6, "4", None),
    ]
    assert reasons(samples) == [None, None, None, None, "bad-caption", "bad-caption"]
    (first, *_), _options = planned(input=tmp_path)
    assert first.captioned


def _record(index: int, record: object) -> list[tuple[str, bytes]]:
    return [("jpg", jpeg(index)), ("json", json.dumps(record).encode())]


def test_a_caption_field_may_have_another_name(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("0.jpg", jpeg(0)), ("0.json", b'{"caption": "no", "alt": "yes"}')])
    assert [sample.caption for sample in read_all(input=tmp_path, caption_col="alt")] == ["yes"]


def test_names_that_stand_twice_with_their_captions_are_kept_apart(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [*pairs(1), ("000.jpg", jpeg(7)), ("000.txt", b"another")])
    samples = read_all(input=tmp_path)
    assert [(s.row, s.key, s.caption, s.image == jpeg(7)) for s in samples] == [
        (0, "000", "caption 0", False),
        (1, "000", "another", True),
    ]
    assert [sample.key_may_repeat for sample in samples] == [False, True]


def test_two_images_of_one_name_with_one_caption_are_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", [("000.jpg", jpeg(7)), *pairs(2)])
    samples = read_all(input=tmp_path)
    assert reasons(samples) == ["duplicate-key", "duplicate-key", None]


def test_folders_hidden_files_and_those_of_macos_are_left_out(tmp_path: Path) -> None:
    others = [("./._000.jpg", b"x"), ("__MACOSX/000.jpg", b"x"), (".DS_Store", b"x"), ("README", b"x")]
    file = write_tar(tmp_path / "x.tar", [*others, *((f"./{name}", data) for name, data in pairs(1))])
    with tarfile.open(file, "a") as tar:
        folder = tarfile.TarInfo("folder.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert [sample.key for sample in read_all(input=tmp_path)] == ["000"]


def test_names_beyond_the_tar_are_only_names_and_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(jpeg(9))
    file = write_tar(tmp_path / "in" / "x.tar", [("/abs/x.jpg", jpeg(0)), ("../../up.jpg", jpeg(1))])
    with tarfile.open(file, "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            link = tarfile.TarInfo(f"{kind.decode()}.jpg")
            link.type, link.linkname = kind, str(secret)
            tar.addfile(link)
    samples = read_all(input=tmp_path / "in")
    assert [sample.key for sample in samples] == ["/abs/x", "../../up", "2", "1", "6"]
    assert reasons(samples) == [None, None, "bad-member", "bad-member", "bad-member"]
    assert all(sample.image is None for sample in samples[2:])


@pytest.mark.parametrize("name", ["0.jpg", f"{'long' * 60}.jpg"])
@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_hard_link_is_the_file_that_it_leads_to(tmp_path: Path, kind: int, name: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=kind) as tar:
        for member, data in ((name, jpeg(0)), ("0.txt", b"a"), ("1.txt", b"b"), ("2.txt", b"c")):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for link, target in (("1.jpg", name), ("2.jpg", "1.jpg"), ("3.jpg", "later.jpg")):
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.LNKTYPE, target
            tar.addfile(info)
    found = {s.member: (s.image, s.reject and s.reject.reason) for s in read_all(input=tmp_path)}
    assert found.items() >= {
        (name, (jpeg(0), None)),
        ("1.jpg", (jpeg(0), None)),
        ("2.jpg", (jpeg(0), None)),
        ("3.jpg", (None, "bad-member")),
    }


def old_gnu(kind: bytes, name: bytes, size: int, linkname: bytes = b"") -> bytes:
    """A header as GNU tar writes it for an incremental archive, with times where POSIX has the prefix of a name."""
    info = tarfile.TarInfo(name.decode())
    info.type, info.size, info.linkname = kind, size, linkname.decode()
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT)[:BLOCK])
    block[345:369] = b"14524770400\0" * 2
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_times_in_headers_of_incremental_tars_are_no_part_of_names(tmp_path: Path) -> None:
    listing = b"Y0.jpg\0Y0.txt\0\0"
    parts = [(b"V", b"label.v1", b""), (b"D", b"./", listing), (b"D", b"folder.jpg/", listing)]
    parts += [(b"0", b"./0.jpg", jpeg(0)), (b"0", b"./0.txt", b"a"), (b"M", b"./1.jpg", b"the rest of a file")]
    blocks = [old_gnu(kind, name, len(data)) + data + bytes(-len(data) % BLOCK) for kind, name, data in parts]
    (tmp_path / "x.tar").write_bytes(b"".join(blocks) + bytes(2 * BLOCK))
    samples = read_all(input=tmp_path)
    assert [(s.key, s.image, s.caption) for s in samples] == [("0", jpeg(0), "a"), ("1", None, None)]
    assert reasons(samples) == [None, "bad-member"]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_names_that_are_no_utf8(tmp_path: Path, kind: int) -> None:
    long = "ä" * 150
    with tarfile.open(tmp_path / "x.tar", "w", format=kind, encoding="utf-8", errors="surrogateescape") as tar:
        for name in (f"{long}.jpg", f"{long}.txt", "caf\udce9.jpg", "caf\udce9.txt"):
            data = b"text" if name.endswith("txt") else jpeg(0)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    samples = read_all(input=tmp_path)
    assert [sample.caption for sample in samples] == ["text", "text"]
    assert samples[0].key == long
    assert samples[1].key.encode().startswith(b"caf")


def test_after_a_corrupt_header_reading_goes_on_at_the_next(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "x.tar", pairs(4))
    place = header_of(file, "001.jpg")
    overwrite(file, place + 148, b"\xff" * 8)
    samples = read_all(input=tmp_path)
    assert [(s.row, s.key, s.image is not None) for s in samples] == [
        (0, "000", True),
        (1, f"byte {place}", False),
        (2, "001", False),
        (3, "002", True),
        (4, "003", True),
    ]
    assert reasons(samples)[1] == "bad-tar"
    assert samples[1].reject is not None
    assert f"bytes {place} to {header_of_text(file, place)}" in samples[1].reject.message


def header_of_text(file: Path, after: int) -> int:
    return file.read_bytes().index(b"001.txt", after + BLOCK)


def test_concatenated_tars_are_read_to_their_end(tmp_path: Path) -> None:
    first, second = (write_tar(tmp_path / f"{i}", pairs(2, first=2 * i)).read_bytes() for i in range(2))
    (tmp_path / "in").mkdir()
    for name, data in {"even": first + second, "uneven": first + b"some bytes between" + second}.items():
        (tmp_path / "in" / f"{name}.tar").write_bytes(data)
    samples = {path: [s for s in read_all(input=tmp_path / "in") if s.source.path == path] for path in NAMES}
    assert [sample.key for sample in samples["even.tar"]] == ["000", "001", "002", "003"]
    assert reasons(samples["uneven.tar"]) == [None, None, "bad-tar", None, None]


NAMES = ("even.tar", "uneven.tar")


def test_a_tar_cut_in_a_member_names_the_sample(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "x.tar", pairs(3))
    file.write_bytes(file.read_bytes()[: header_of(file, "002.jpg") + BLOCK + 100])
    samples = read_all(input=tmp_path)
    assert [sample.key for sample in samples] == ["000", "001", "002"]
    assert reasons(samples) == [None, None, "bad-tar"]


def test_a_missing_end_is_named(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "x.tar", pairs(2))
    end = header_of(file, "001.txt") + 2 * BLOCK
    file.write_bytes(file.read_bytes()[:end])
    samples = read_all(input=tmp_path)
    assert reasons(samples) == [None, None, "bad-tar"]
    assert samples[-1].reject is not None
    assert f"ends at byte {end} without an end mark" in samples[-1].reject.message


def test_a_member_that_claims_more_than_the_tar_holds_hides_none_behind_it(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "x.tar", pairs(3))
    place = header_of(file, "001.jpg")
    huge = tarfile.TarInfo("001.jpg")
    huge.size = 10 << 30
    overwrite(file, place, huge.tobuf(tarfile.GNU_FORMAT))
    samples = read_all(input=tmp_path)
    assert [sample.key for sample in samples] == ["000", "001", "002"]
    assert reasons(samples) == [None, "bad-tar", None]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK])
def test_an_extended_header_of_a_gigabyte_is_not_read_and_hides_nothing(tmp_path: Path, kind: bytes) -> None:
    bomb = tarfile.TarInfo("x")
    bomb.type, bomb.size = kind, 1 << 30
    file = write_tar(tmp_path / "x.tar", pairs(1))
    file.write_bytes(bomb.tobuf(tarfile.GNU_FORMAT) + file.read_bytes())
    assert reasons(read_all(input=tmp_path)) == ["bad-tar", None]


def test_a_chain_of_extended_headers_is_read(tmp_path: Path) -> None:
    extended = tarfile.TarInfo("x")
    extended.type = tarfile.XHDTYPE
    file = write_tar(tmp_path / "x.tar", pairs(1))
    file.write_bytes(extended.tobuf(tarfile.GNU_FORMAT) * 5000 + file.read_bytes())
    assert [sample.key for sample in read_all(input=tmp_path)] == ["000"]


def test_zero_blocks_are_passed_over_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_tar(tmp_path / "x.tar", pairs(1))
    end = write_tar(tmp_path / "end", pairs(1, first=1)).read_bytes()
    with file.open("r+b") as handle:
        handle.seek(100_000 * BLOCK)  # a hole reads as zeros
        handle.write(end)
    reads: list[int] = []
    real = tar._read
    monkeypatch.setattr(tar, "_read", lambda file, place, size: reads.append(place) or real(file, place, size))
    assert [sample.key for sample in read_all(input=file)] == ["000", "001"]
    assert len(reads) < 200


def test_members_beyond_the_limit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "MAX_MEMBERS", 4)
    write_tar(tmp_path / "x.tar", pairs(3))
    assert reasons(read_all(input=tmp_path)) == [None, None, "bad-tar"]


def test_gzip_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    packed = gzip.compress(write_tar(tmp_path / "x", pairs(6)).read_bytes(), mtime=0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.tgz").write_bytes(packed[: len(packed) // 2])
    samples = read_all(input=tmp_path / "in")
    assert samples[0].image == jpeg(0)
    assert samples[-1].reject is not None
    assert "is cut off after" in samples[-1].reject.message


def test_a_gzip_bomb_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_SMALL", 4 << 20)
    tar = write_tar(tmp_path / "x", [*pairs(1), ("001.jpg", bytes(64 << 20))]).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.tgz").write_bytes(gzip.compress(tar))
    samples = read_all(input=tmp_path / "in")
    assert reasons(samples) == [None, "bad-tar", "bad-tar"]
    assert samples[-1].reject is not None
    assert "unpacks to more than" in samples[-1].reject.message


def test_gzip_of_several_members_and_padding_is_read_whole(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x", pairs(2)).read_bytes()
    (tmp_path / "in").mkdir()
    halves = gzip.compress(tar[:1000]) + gzip.compress(tar[1000:])
    (tmp_path / "in" / "x.tgz").write_bytes(halves + bytes(100))
    assert reasons(read_all(input=tmp_path / "in")) == [None, None]


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"", "an empty file"), (b"<html>404</html>", "HTML"), (b"PAR1...", "Parquet"), (jpeg(0), "JPEG")],
)
def test_a_first_file_that_is_no_tar_is_refused_with_what_it_looks_like(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(InputError, match=rf"x\.tar: not readable as a tar: looks like {kind}; .*--input-format"):
        read_all(input=tmp_path)


def test_a_packed_file_that_is_no_tar_is_refused_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(gzip.compress(b"")[:10] + b"\xff" * 10)
    with pytest.raises(InputError, match=r"looks like gzip \(the gzip stream is damaged after 0 bytes: "):
        read_all(input=tmp_path)


def test_a_later_file_that_is_no_tar_is_one_rejected_row(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", pairs(1))
    (tmp_path / "b.tar").write_bytes(b"<html>404</html>")
    write_tar(tmp_path / "c.tar", pairs(1))
    samples = read_all(input=tmp_path)
    assert [(s.source.path, s.row, s.rows) for s in samples] == [("a.tar", 0, 1), ("b.tar", 0, 1), ("c.tar", 0, 1)]
    assert reasons(samples) == [None, "bad-tar", None]


def test_an_empty_tar_has_no_samples_and_says_nothing_of_the_others(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [])
    assert read_all(input=tmp_path) == []
    write_tar(tmp_path / "b.tar", pairs(1))
    (chunk, _), _options = planned(input=tmp_path)
    assert chunk.captioned


def test_done_rows_are_not_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", pairs(4))
    (chunk,), options = planned(input=tmp_path)
    done = replace(chunk, done={"x.tar": ((0, 1), (2, 3))})
    assert [sample.key for sample in webdataset.read(done, options)] == ["001", "003"]


def test_captions_of_many_megabytes_are_rejected(tmp_path: Path) -> None:
    long = b"x" * (captions.MAX_BYTES + 1)
    write_tar(tmp_path / "x.tar", [("0.jpg", jpeg(0)), ("0.txt", long), ("1.jpg", jpeg(1)), ("1.txt", long[1:])])
    assert reasons(read_all(input=tmp_path)) == ["caption-too-long", None]


RECORD = {"key": "000000", "url": "http://h/0", "caption": "c0", "status": "success", "sha256": "ab"}
SIZE = {"original_width": 4000, "original_height": 3000, "uid": "0123456789abcdef" * 2}


def test_of_the_captions_of_one_record_the_first_alone_has_its_uid(tmp_path: Path) -> None:
    record = SIZE | {"caption": ["a", "b"]}
    write_tar(tmp_path / "x.tar", [("0.jpg", jpeg(0)), ("0.json", json.dumps(record).encode())])
    samples = read_all(input=tmp_path)
    assert [(sample.caption, sample.uid) for sample in samples] == [("a", SIZE["uid"]), ("b", None)]


def test_records_of_img2dataset_give_key_uid_size_and_kept_columns(tmp_path: Path) -> None:
    record = json.dumps(RECORD | SIZE).encode()
    write_tar(tmp_path / "0.tar", [("000000.jpg", jpeg(0)), ("000000.json", record), ("000000.txt", b"c0")])
    (sample,) = read_all(input=tmp_path)
    assert (sample.key, sample.uid, sample.width, sample.height) == ("000000", SIZE["uid"], 4000, 3000)
    assert sample.kept == {"url": "http://h/0", "key": "000000", "sha256": "ab"}


def test_kept_fields_of_other_types_than_the_first_records_are_null_or_text(tmp_path: Path) -> None:
    values: list[dict[str, object]] = [
        {"n": 1, "f": 0.5, "t": "x", "l": [1]},
        {"n": "1", "f": 2, "t": 7, "l": None},
        {"n": 2**70, "f": 10**400, "t": "\ud83d", "l": {}},
    ]
    members = [(f"{i}.{kind}", data) for i, value in enumerate(values) for kind, data in _record(i, value)]
    write_tar(tmp_path / "x.tar", members)
    samples = read_all(input=tmp_path, keep_cols=("n", "f", "t", "l"))
    assert [tuple(sample.kept.values()) for sample in samples] == [
        (1, 0.5, "x", "[1]"),
        (None, 2.0, "7", None),
        (None, None, "\\ud83d", "{}"),
    ]
    with pytest.raises(InputError, match=r"x\.tar: no field 'nope'; its first record has n, f, t, l"):
        read_all(input=tmp_path, keep_cols=("nope",))


def img2dataset_shard(folder: Path) -> None:
    members = [(f"00000.{kind}", data) for kind, data in [("jpg", jpeg(0)), ("json", json.dumps(RECORD).encode())]]
    write_tar(folder / "00000.tar", [*members, ("00000.txt", b"c0")])
    log = {"key": ["000000", "000001"], "url": ["http://h/0", "http://h/1"], "caption": ["c0", "c1"]}
    log |= {"status": ["success", "failed_to_download"], "error_message": [None, "HTTP Error 404"]}
    write_parquet(folder / "00000.parquet", [None, None], log.pop("caption"), **log)
    (folder / "00000_stats.json").write_text("{}")


def test_failures_that_img2dataset_has_logged_are_rows_after_the_tars_own(tmp_path: Path) -> None:
    img2dataset_shard(tmp_path)
    samples = read_all(input=tmp_path)
    assert [(s.row, s.rows, s.key, s.caption, s.kept["url"]) for s in samples] == [
        (0, 2, "000000", "c0", "http://h/0"),
        (1, 2, "000001", "c1", "http://h/1"),
    ]
    assert reasons(samples) == [None, "download"]
    assert samples[1].reject is not None
    assert samples[1].reject.message == "00000.tar: failed_to_download: HTTP Error 404"


def test_another_log_makes_another_version_of_the_tar(tmp_path: Path) -> None:
    img2dataset_shard(tmp_path)
    before = read_all(input=tmp_path)[0].source.version
    (tmp_path / "00000.parquet").write_bytes(b"no log")
    samples = read_all(input=tmp_path)
    assert samples[0].source.version != before
    assert reasons(samples) == [None, "bad-parquet"]


def test_tars_are_known_by_their_content_too(tmp_path: Path) -> None:
    write_tar(tmp_path / "shard-000", pairs(1))
    assert [sample.key for sample in read_all(input=tmp_path)] == ["000"]
