"""Recognises a file's kind from its first bytes, regardless of its name."""

from __future__ import annotations

import tarfile

from pipeline import storage
from siglip_core import signatures

HEAD_BYTES = 1024
IMAGES = signatures.IMAGES - {"Photoshop file"}
"""the kinds that an input's images can have"""


def of_file(uri: str) -> str:
    """The kind of a file, for messages and for the choice of a format."""
    with storage.open_file(uri) as file:
        return kind(file.read(HEAD_BYTES))


def kind(head: bytes) -> str:
    """The kind of a file, by its first bytes: "Parquet", "tar", "JPEG", "JSON", "text", …"""
    if not head:
        return "an empty file"
    # Checked first, because a tar begins with a member's name, which can look like any signature.
    if is_tar_header(head[: tarfile.BLOCKSIZE]) or _is_empty_tar(head):
        return "tar"
    return signatures.kind(head) or ("text" if _is_text(head) else f"bytes of no known kind, starting {head[:8]!r}")


def is_tar_header(block: bytes) -> bool:
    """Whether the block is a tar header with a valid checksum."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_empty_tar(head: bytes) -> bool:
    return len(head) == 2 * tarfile.BLOCKSIZE and not any(head)


def _is_text(head: bytes) -> bool:
    return not any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head)
