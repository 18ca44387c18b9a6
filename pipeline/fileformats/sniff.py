"""What a file holds, told from its first bytes, whatever its name says."""

from __future__ import annotations

import tarfile

from pipeline import storage
from siglip_core import signatures

HEAD_BYTES = 1024
IMAGES = signatures.IMAGES - {"Photoshop file"}
"""the kinds of which an input's images may be"""


def of_file(uri: str) -> str:
    """What a file looks like, for a person and for the choice of a format."""
    with storage.open_file(uri) as file:
        return kind(file.read(HEAD_BYTES))


def kind(head: bytes) -> str:
    """What a file's first bytes look like: "Parquet", "tar", "JPEG", "JSON", "text", …"""
    if not head:
        return "an empty file"
    if is_tar_header(head[: tarfile.BLOCKSIZE]) or _is_empty_tar(head):  # first: a member's name may be any signature
        return "tar"
    return signatures.kind(head) or ("text" if _is_text(head) else f"bytes of no known kind, starting {head[:8]!r}")


def is_tar_header(block: bytes) -> bool:
    """Whether a block's checksum is a tar header's."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_empty_tar(head: bytes) -> bool:
    return len(head) == 2 * tarfile.BLOCKSIZE and not any(head)


def _is_text(head: bytes) -> bool:
    return not any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head)
