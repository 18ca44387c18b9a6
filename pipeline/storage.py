"""Listing and opening input files through fsspec, on local disk and object stores alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fsspec

from pipeline.errors import InputError


@dataclass(frozen=True)
class Listing:
    """The files under an input's root, sorted by path."""

    uri: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class File:
    path: str
    """relative to the root"""
    uri: str
    size: int
    """bytes"""
    version: str
    """size and modification time (local), or size and etag (object stores)"""


def list_files(uri: str) -> Listing:
    """Lists a file, or every file below a folder but hidden ones.

    Raises:
        InputError: nothing is there.
    """
    filesystem, root = fsspec.core.url_to_fs(uri)
    if not filesystem.exists(root):
        raise InputError(f"input {uri}: no such file or folder; check --input")
    if filesystem.isfile(root):
        found = {root: filesystem.info(root)}
        parent = root.rpartition("/")[0]
    else:
        found = filesystem.find(root, detail=True)
        parent = root.rstrip("/")
    files = [
        File(path, filesystem.unstrip_protocol(name), int(info["size"]), _version(info))
        for name, info in found.items()
        if not _is_hidden(path := name[len(parent) + 1 :])
    ]
    return Listing(uri, tuple(sorted(files, key=lambda file: file.path)))


def open_file(uri: str) -> Any:
    """Opens a file for reading bytes, at random too."""
    return fsspec.open(uri, "rb").open()


def read_bytes(uri: str) -> bytes:
    with open_file(uri) as file:
        data: bytes = file.read()
        return data


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _version(info: dict[str, Any]) -> str:
    """The cheapest thing that changes with the content, from what a listing holds."""
    for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated"):
        if info.get(key) is not None:
            stamp = info[key]
            text = f"{stamp:.6f}" if isinstance(stamp, float) else str(stamp).strip('"')
            return f"{info['size']}-{text}"
    return str(info["size"])
