"""What a file holds, told from its first bytes, whatever its name says."""

from __future__ import annotations

import tarfile

from pipeline import storage

HEAD_BYTES = 1024
IMAGES = frozenset(["JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF", "AVIF", "JPEG 2000"])

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PAR1", "Parquet"),
    (0, b"PARE", "encrypted Parquet"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"ARROW1", "an Arrow IPC file"),
    (0, b"\xff\xff\xff\xff", "an Arrow IPC stream"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
    (0, b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
)
_BMP_RESERVED = slice(6, 10)


def of_file(uri: str) -> str:
    """What a file looks like, for a person and for the choice of a format."""
    with storage.open_file(uri) as file:
        return kind(file.read(HEAD_BYTES))


def kind(head: bytes) -> str:
    """What a file's first bytes look like: "Parquet", "tar", "JPEG", "JSON", "text", …"""
    if not head:
        return "an empty file"
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    if head.startswith(b"BM") and head[_BMP_RESERVED] == bytes(4):
        return "BMP"
    if is_tar_header(head[: tarfile.BLOCKSIZE]) or _is_empty_tar(head):
        return "tar"
    return _text_kind(head) or f"bytes of no known kind, starting {head[:8]!r}"


def is_tar_header(block: bytes) -> bool:
    """Whether a block's checksum is a tar header's."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_empty_tar(head: bytes) -> bool:
    return len(head) == 2 * tarfile.BLOCKSIZE and not any(head)


def _text_kind(head: bytes) -> str | None:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if start.startswith((b"<?xml", b"<svg")):
        return "XML"
    if start.startswith((b"{", b"[")):
        return "JSON"
    printable = not any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head)
    return "text" if printable else None
