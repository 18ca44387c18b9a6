"""Listing and opening input files through fsspec, on local disk and object stores alike."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from pipeline.errors import InputError

COPY_BYTES = 1 << 20


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

    Local links are followed: a linked file has its target's size and time. A URI is taken as it stands: neither chained
    (`zip://…::…`) nor a pattern.

    Raises:
        InputError: nothing is there, its protocol cannot be used, or a name, link or folder below it cannot be read.
    """
    if not uri.strip():
        raise InputError("input: no folder or file is named; give one with --input")
    filesystem, root = _locate(uri)
    if not filesystem.exists(root):
        raise InputError(f"input {uri}: no such file or folder; check --input")
    base = f"file://{root}" if isinstance(filesystem, LocalFileSystem) else uri
    if filesystem.isfile(root):
        found: Iterable[dict[str, Any]] = [filesystem.info(root)]
        root, base = root.rpartition("/")[0], base.rpartition("/")[0]
    else:
        found = _below(filesystem, root)
    root, base = root.rstrip("/"), base.removesuffix("/")
    files = [
        File(path, f"{base}/{path}", int(info["size"]), _version(info))
        for info in found
        if not _is_hidden(path := _text_path(info["name"][len(root) + 1 :], uri))
    ]
    return Listing(uri, tuple(sorted(files, key=lambda file: file.path)))


def open_file(uri: str) -> Any:
    """Opens a file for reading bytes, at random too.

    Raises:
        InputError: it is not there, or may not be read.
    """
    filesystem, path = _locate(uri)
    try:
        return filesystem.open(path, "rb")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"{uri}: {error.strerror or error}; the input must stay as it is until the run ends"
        ) from error


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """The file on local disk, to be read at random and more than once: itself, or a copy that lives for the block.

    Raises:
        InputError: it is not there, or may not be read.
    """
    filesystem, path = _locate(uri)
    if isinstance(filesystem, LocalFileSystem):
        yield Path(path)
        return
    with NamedTemporaryFile(prefix="siglane-") as copy, open_file(uri) as file:
        shutil.copyfileobj(file, copy, COPY_BYTES)
        copy.flush()
        yield Path(copy.name)


def read_bytes(uri: str) -> bytes:
    with open_file(uri) as file:
        data: bytes = file.read()
        return data


def _locate(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it. `fsspec.open` would take `::` in a file's name for a chain."""
    protocol = fsspec.core.split_protocol(uri)[0] or "file"
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise InputError(f"input {uri}: protocol {protocol!r} is not known; check --input") from error
    except ImportError as error:
        package = known_implementations[protocol]["class"].partition(".")[0]
        mend = "install what it names" if package == "fsspec" else f"pip install {package}"
        raise InputError(f"input {uri}: {error}; {mend}") from error
    return fsspec.filesystem(protocol, **kind._get_kwargs_from_urls(uri)), kind._strip_protocol(uri)


def _below(filesystem: Any, root: str) -> Iterable[dict[str, Any]]:
    if isinstance(filesystem, LocalFileSystem):
        return _walk(filesystem, root, ())
    found: dict[str, dict[str, Any]] = filesystem.find(root, detail=True)
    return found.values()


def _walk(filesystem: Any, folder: str, above: tuple[Path, ...]) -> Iterator[dict[str, Any]]:
    """The files below a local folder. fsspec's own `find` follows no link and passes over what it may not read."""
    place = Path(folder).resolve()
    if place in above:
        raise InputError(f"{folder}: links back to a folder that holds it; remove the link")
    try:
        entries = filesystem.ls(folder, detail=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; mend it or move it out of the input") from error
    for entry in entries:
        if _is_hidden(entry["name"].rpartition("/")[2]):
            continue
        info = _target(filesystem, entry) if entry["islink"] else entry
        if info["type"] == "directory":
            yield from _walk(filesystem, info["name"], (*above, place))
        elif info["type"] == "file":
            yield info
        else:
            raise InputError(f"{info['name']}: neither a file nor a folder; remove it from the input")


def _target(filesystem: Any, link: dict[str, Any]) -> dict[str, Any]:
    """What a link leads to, under the link's name."""
    try:
        info: dict[str, Any] = filesystem.info(link["name"])
    except OSError as error:
        raise InputError(f"{link['name']}: a link to what is not there; mend or remove it") from error
    return info


def _text_path(path: str, uri: str) -> str:
    """The path, which a table can hold only as UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"input {uri}: the name {os.fsencode(path)!r} is not UTF-8; rename the file") from error
    return path


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
