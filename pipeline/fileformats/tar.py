"""Reads the headers of a tar one after another: lists its members, and the offsets of the parts that cannot be read.

`tarfile` stops at the first zero block or broken header as if the tar ended there, and reads extended headers of any
length into memory. This module accounts for the complete file. It reads on after zero blocks (concatenated tars),
searches for the next valid header after a broken one, and reports a missing end. Its memory is bounded, and its time is
linear in the size of the file. One limitation: a tar inside a member whose own header is broken is read as part of the
outer tar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, NamedTuple

BLOCK = tarfile.BLOCKSIZE
SLAB = 1 << 20
"""bytes read at once in a search"""
MAX_EXTENDED_BYTES = 1 << 20
"""limit of an extended header, which only has a name"""
MAGIC = b"ustar"
OLD_GNU_MAGIC = b"ustar  \0"
MAGIC_OFFSET = 257
NAME, SIZE, CHECKSUM, TYPE = slice(0, 100), slice(124, 136), slice(148, 156), slice(156, 157)
PREFIX_OFFSET = 345

PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
GNU_LONG_TYPES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
IGNORED_TYPES = (tarfile.XGLTYPE,)
EXTENDED_TYPES = (*PAX_TYPES, *IGNORED_TYPES, *GNU_LONG_TYPES)
GNU_LABEL, GNU_FOLDER, GNU_CONTINUED = b"V", b"D", b"M"
"""of GNU tar: a name for the tar itself, a folder with the list of its files, the rest of a file of another tar"""
WITHOUT_DATA = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)

Kind = Literal["file", "folder", "link", "special", "sparse", "cut"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member and the position of its bytes. The bytes of a `cut` member extend beyond the end of the file."""

    name: str
    """with bytes that are not UTF-8 as lone surrogates"""
    offset: int
    size: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of the tar that cannot be read."""

    offset: int
    message: str


class _Header(NamedTuple):
    type: bytes
    name: str
    size: int
    target: str = ""
    """the name that a link leads to"""


@dataclass(slots=True)
class _Extended:
    """What an extended header states about the member after it."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False
    target: str | None = None


def scan(file: BinaryIO) -> Iterator[Member | Damage]:
    """Every member of a tar in order, and every part that is neither a member nor padding.

    A hard link to a file before it has that file's bytes.
    """
    end = file.seek(0, 2)
    files: dict[str, Member] = {}
    place, extended, closed = 0, _Extended(), False
    while place < end:
        block = _read(file, place, BLOCK)
        if not any(block):
            place, extended, closed = _after_zeros(file, place), _Extended(), True
            continue
        header = _header(block)
        if header is None:
            place, damaged = _next_header(file, place + 1), place
            yield Damage(damaged, f"bytes {damaged} to {place} are neither a tar header nor padding")
            extended, closed = _Extended(), place == end
        elif header.type in EXTENDED_TYPES:
            known = _extended(file, place, header, extended)
            if known is None:
                yield Damage(place, f"the extended header at byte {place} cannot be read")
                place = _next_header(file, place + 1)
            else:
                place, extended = place + BLOCK + _padded(header.size), known
        else:
            member = _member(file, place, header, extended, end)
            if header.type != GNU_LABEL:
                linked = files.get(extended.target or header.target) if header.type == tarfile.LNKTYPE else None
                shown = member if linked is None else replace(linked, name=member.name)
                if shown.kind == "file":
                    files[shown.name] = shown
                yield shown
            cut = member.kind == "cut"
            place = _next_header(file, place + 1) if cut else member.offset + _padded(member.size)
            extended, closed = _Extended(), cut and place == end
    if not closed:
        yield Damage(end, f"the tar ends at byte {end} without an end mark; members after it may be missing")


def _member(file: BinaryIO, place: int, header: _Header, extended: _Extended, end: int) -> Member:
    offset = place + BLOCK
    if header.type == tarfile.GNUTYPE_SPARSE:
        offset = _after_sparse_map(file, place)
    size = 0 if header.type in WITHOUT_DATA else header.size if extended.size is None else extended.size
    kind = _kind(header, extended)
    return Member(extended.name or header.name, offset, size, "cut" if offset + size > end else kind)


def _kind(header: _Header, extended: _Extended) -> Kind:
    if extended.sparse or header.type == tarfile.GNUTYPE_SPARSE:
        return "sparse"
    if header.type in (tarfile.DIRTYPE, GNU_FOLDER):
        return "folder"
    if header.type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
        return "link"
    special = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, GNU_CONTINUED)
    return "special" if header.type in special else "file"


def _header(block: bytes) -> _Header | None:
    return _plain_header(block) or _any_header(block)


def _plain_header(block: bytes) -> _Header | None:
    """The header of a file with a short name, as most are; None for others. `tarfile` takes four times as long.

    Owner, mode and time are not checked; `tarfile` refuses a header where they are not numbers.
    """
    if len(block) < BLOCK or block[TYPE] != tarfile.REGTYPE or block[PREFIX_OFFSET]:
        return None
    try:
        size, checksum = (int(block[field].partition(b"\0")[0], 8) for field in (SIZE, CHECKSUM))
    except ValueError:
        return None
    if size < 0 or checksum != sum(block) - sum(block[CHECKSUM]) + len(block[CHECKSUM]) * ord(" "):
        return None
    return _Header(tarfile.REGTYPE, _text(block[NAME].partition(b"\0")[0]), size)


def _any_header(block: bytes) -> _Header | None:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    magic = block[MAGIC_OFFSET : MAGIC_OFFSET + len(OLD_GNU_MAGIC)]
    # Where POSIX has the first part of a long name, old GNU headers have times, and those before POSIX have anything.
    has_prefix = magic.startswith(MAGIC) and magic != OLD_GNU_MAGIC
    name = header.name if has_prefix else _text(block[NAME].partition(b"\0")[0])
    return _Header(header.type, name, header.size, header.linkname) if header.size >= 0 else None


def _extended(file: BinaryIO, place: int, header: _Header, before: _Extended) -> _Extended | None:
    """The extended headers before `place` combined with the one there; None if it cannot be read."""
    if header.type in IGNORED_TYPES:
        return before if place + BLOCK + header.size <= file.seek(0, 2) else None
    if header.size > MAX_EXTENDED_BYTES:
        return None
    data = _read(file, place + BLOCK, header.size)
    if len(data) < header.size:
        return None
    if header.type in GNU_LONG_TYPES:
        name = _text(data.partition(b"\0")[0])
        if header.type == tarfile.GNUTYPE_LONGLINK:
            return replace(before, target=name)
        return replace(before, name=name)
    try:
        records = dict(_pax_records(data))
        size = int(records[b"size"]) if b"size" in records else before.size
    except ValueError:
        return None
    if size is not None and size < 0:
        return None
    path, target = records.get(b"GNU.sparse.name", records.get(b"path")), records.get(b"linkpath")
    sparse = before.sparse or any(key.startswith(b"GNU.sparse.") for key in records)
    return _Extended(
        before.name if path is None else _text(path), size, sparse, before.target if target is None else _text(target)
    )


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The key-value pairs of a pax header, each written as `LENGTH KEY=VALUE` and a line break."""
    place = 0
    while place < len(data) and data[place] != 0:
        space = data.index(b" ", place, place + 20)
        stop = place + int(data[place:space])
        if not space < stop <= len(data) or data[stop - 1 : stop] != b"\n":
            raise ValueError("the length of a record is wrong")
        key, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if not equals:
            raise ValueError("a record has no value")
        yield key, value
        place = stop


def _after_sparse_map(file: BinaryIO, place: int) -> int:
    """The first byte of an old GNU sparse member's data. Its map can extend over blocks after the header."""
    more = _read(file, place, BLOCK)[482:483]
    place += BLOCK
    while more not in (b"\0", b""):
        more = _read(file, place, BLOCK)[504:505]
        place += BLOCK
    return place


def _after_zeros(file: BinaryIO, place: int) -> int:
    """The first block after `place` that is not all zeros, or the end."""
    while slab := _read(file, place, SLAB):
        rest = len(slab.lstrip(b"\0"))
        if rest:
            return place + (len(slab) - rest) // BLOCK * BLOCK
        place += len(slab)
    return place


def _next_header(file: BinaryIO, start: int) -> int:
    """The first byte at or after `start` where a header begins, aligned or not; else the end of the file."""
    place = start
    while len(slab := _read(file, place, SLAB + BLOCK)) >= BLOCK:
        found = slab.find(MAGIC)
        while found >= 0:
            begin = found - MAGIC_OFFSET
            block = slab[begin : begin + BLOCK] if begin >= 0 else b""
            if block[CHECKSUM].strip(b" \0").isdigit() and _header(block) is not None:
                return place + begin
            found = slab.find(MAGIC, found + 1)
        place += SLAB
    return file.seek(0, 2)


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
