"""Unpacking: everything that can be read before a fault is kept, and the fault is reported."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.fileformats import compression

VOCABULARY = "a photo of two cats on the sofa beside one dog"
WORDS = " ".join(random.Random(1).choices(VOCABULARY.split(" "), k=80_000)).encode()
NOISE = random.Random(2).randbytes(400_100)
PACKED = gzip.compress(WORDS, mtime=0)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
}
TRAILER = 8
"""bytes at the end of a member: checksum and length"""


def unpack(packed: bytes, kind: str = "gzip") -> tuple[bytes, str | None]:
    out = io.BytesIO()
    problem = compression.unpack(io.BytesIO(packed), out, kind, compression.limit(len(packed), 20))
    return out.getvalue(), problem


def by_gzip(packed: bytes) -> bytes:
    """What `gzip.GzipFile` gives of the same bytes, before it raises."""
    out = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        try:
            while piece := file.read1():
                out += piece
        except (EOFError, gzip.BadGzipFile, zlib.error):
            pass
    return bytes(out)


def flipped(packed: bytes, at: int) -> bytes:
    changed = bytearray(packed)
    changed[at] ^= 0x10
    return bytes(changed)


@pytest.mark.parametrize("data", [WORDS, NOISE, b""], ids=["words", "noise", "nothing"])
@pytest.mark.parametrize("padding", [0, 1, 100_000])
def test_sound_members_and_zeros_after_them(data: bytes, padding: int) -> None:
    packed = gzip.compress(data)
    assert unpack(packed + bytes(padding)) == (data, None)
    assert unpack(packed + bytes(padding) + packed + bytes(padding)) == (data * 2, None)


@pytest.mark.parametrize("data", [WORDS, NOISE], ids=["words", "noise"])
@pytest.mark.parametrize("at", [-TRAILER, -1], ids=["checksum", "length"])
def test_a_flipped_bit_in_the_trailer_costs_no_byte(data: bytes, at: int) -> None:
    unpacked, problem = unpack(flipped(gzip.compress(data), at))
    assert unpacked == data
    assert problem is not None
    assert problem.startswith(f"the gzip stream is damaged after {len(data)} bytes: ")


@pytest.mark.parametrize("place", [0.01, 0.5, 0.9, 0.9999])
def test_a_flipped_bit_in_data_that_is_stored_changes_one_byte_and_costs_none(place: float) -> None:
    packed = gzip.compress(NOISE, compresslevel=0)
    unpacked, problem = unpack(flipped(packed, int(place * len(packed))))
    assert sum(a != b for a, b in zip(unpacked, NOISE, strict=True)) == 1
    assert problem is not None
    assert "incorrect data check" in problem


@pytest.mark.parametrize("place", [n / 20 for n in range(1, 20)])
def test_no_less_than_the_standard_library_where_data_is_damaged(place: float) -> None:
    damaged = flipped(PACKED, int(place * len(PACKED)))
    unpacked, problem = unpack(damaged)
    assert unpacked.startswith(by_gzip(damaged))
    assert problem is not None
    assert problem.startswith(f"the gzip stream is damaged after {len(unpacked)} bytes: ")


@pytest.mark.parametrize("left", [2, 9, 10, 11, 1000, -TRAILER, -1])
def test_a_file_that_ends_too_early(left: int) -> None:
    unpacked, problem = unpack(gzip.compress(NOISE)[:left])
    assert NOISE.startswith(unpacked)
    assert len(unpacked) >= left - 100 if left > 0 else unpacked == NOISE
    assert problem == f"the gzip stream is cut off after {len(unpacked)} bytes"


def test_garbage_after_the_last_member_is_reported_and_harms_none() -> None:
    unpacked, problem = unpack(PACKED * 2 + b"<html>504</html>")
    assert unpacked == WORDS * 2
    assert problem is not None
    assert problem.startswith(f"the gzip stream is damaged after {2 * len(WORDS)} bytes: ")


def test_damage_in_a_later_member_leaves_the_earlier_ones() -> None:
    unpacked, problem = unpack(PACKED + flipped(PACKED, -1))
    assert unpacked == WORDS * 2
    assert problem is not None


def test_what_unpacks_to_too_much_is_cut_off_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_SMALL", 4 << 20)
    unpacked, problem = unpack(gzip.compress(bytes(64 << 20)))
    assert problem == f"the gzip unpacks to more than {4 << 20} bytes; the rest is not read"
    assert (4 << 20) - (1 << 17) <= len(unpacked) <= 4 << 20
    assert unpack(gzip.compress(bytes(4 << 20))) == (bytes(4 << 20), None)


@pytest.mark.parametrize("kind", PACKERS)
def test_a_disk_that_fails_is_no_damage_of_the_file(kind: str) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        compression.unpack(Failing(PACKERS[kind](NOISE)), io.BytesIO(), kind, len(NOISE))


def test_it_starts_at_the_start_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"a photo"))
    out = io.BytesIO()
    with (tmp_path / "x.gz").open("rb") as file:
        file.read(2)
        assert compression.unpack(file, out, "gzip", 27) is None
    assert out.getvalue() == b"a photo"


@pytest.mark.parametrize("data", [WORDS, NOISE, b""], ids=["words", "noise", "nothing"])
@pytest.mark.parametrize("kind", PACKERS)
def test_every_kind_of_one_and_of_two_members(kind: str, data: bytes) -> None:
    packed = PACKERS[kind](data)
    assert unpack(packed, kind) == (data, None)
    assert unpack(packed * 2, kind) == (data * 2, None)


@pytest.mark.parametrize("kind", PACKERS)
def test_every_kind_that_ends_too_early_or_is_damaged(kind: str) -> None:
    packed = PACKERS[kind](NOISE)
    unpacked, problem = unpack(packed[:-100_000], kind)
    assert NOISE.startswith(unpacked)
    assert problem == f"the {kind} stream is cut off after {len(unpacked)} bytes"
    unpacked, problem = unpack(packed + b"<html>504</html>", kind)
    assert unpacked == NOISE
    assert problem is not None
    assert problem.startswith(f"the {kind} stream is damaged after {len(unpacked)} bytes: ")


@pytest.mark.parametrize("kind", PACKERS)
def test_of_every_kind_a_bomb_is_cut_off_and_not_held(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PACKERS[kind](bytes(64 << 20))
    monkeypatch.setattr(compression, "MAX_SMALL", 4 << 20)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    stream = compression.Unpacked(io.BytesIO(packed), kind, compression.limit(len(packed), 20))
    size = sum(len(piece) for piece in iter(stream.piece, b""))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size <= 4 << 20
    assert stream.problem == f"the {kind} unpacks to more than {4 << 20} bytes; the rest is not read"
    assert peak + pa.total_allocated_bytes() - before < 16 << 20  # the dictionary of xz has 8 MiB


def test_a_dictionary_of_gigabytes_is_refused() -> None:
    packed = bytearray(lzma.compress(WORDS))
    header = slice(12, 12 + 4 * packed[12])
    assert packed[14:16] == b"\x21\x01"  # LZMA2, with one byte that states the size of its dictionary
    packed[16] = 40
    packed[header.stop : header.stop + 4] = zlib.crc32(packed[header]).to_bytes(4, "little")
    unpacked, problem = unpack(bytes(packed), "xz")
    assert unpacked == b""
    assert problem is not None
    assert "Memory usage limit" in problem


def test_no_byte_before_damage_is_lost() -> None:
    """A block of stored data whose length does not fit its check is refused where it begins."""
    stored = gzip.compress(NOISE[:60_000], compresslevel=0)
    place = stored.index(NOISE[:20]) - 4
    assert unpack(flipped(stored, place))[0] == b""
    two = gzip.compress(WORDS[:1000]) + flipped(stored, place)
    assert unpack(two)[0] == WORDS[:1000]
