"""Lists the files that addresses stand for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.storage.address import ANY_FOLDERS, UNLISTED, Pattern, is_glob, parse, split_query
from pipeline.storage.filesystems import HTTP_PROTOCOLS, is_local, locate, protocol_of
from pipeline.storage.redaction import redact
from pipeline.storage.retries import AbsentError, patiently

LOOKUPS_AT_ONCE = 16
# Keys of a listing, by store: a hash of the content if there is one, else a value that changes with the content.
STAMPS = ("md5Hash", "ETag", "etag", "blob_id", "mtime", "LastModified", "last_modified", "Last-Modified", "updated")

_LOCAL_VERSION = re.compile(r"(\d+)-(\d+\.\d{6})")

Info = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """The files under an input's roots, sorted by path."""

    uri: str
    """the input for display: without credentials or queries"""
    files: tuple[File, ...]


@dataclass(frozen=True)
class File:
    path: str
    """relative to the root, without a query"""
    uri: str
    """where to open the file; may contain a signature, so show it only through `redact`"""
    size: int
    """bytes"""
    version: str
    """size and modification time (local disk), or size and etag (stores that have one)"""


def list_files(inputs: str | Sequence[str]) -> Listing:
    """Lists the files of addresses: a file, every file below a folder except hidden ones, or the matches of a pattern.

    Local links are followed: a linked file has its target's size and time. Chains (`zip://…::…`) are not followed. Each
    address has its own root; its files' paths are relative to that root.

    Raises:
        InputError: an address does not exist, a pattern or a member of a brace matches nothing, a protocol cannot be
            used, a name, link or folder below cannot be read, or two files have the same path.
        StorageError: a store refuses access, or still failed after retries.
    """
    addresses = (inputs,) if isinstance(inputs, str) else tuple(inputs)
    files: dict[str, File] = {}
    paths: dict[str, str] = {}
    for address in addresses:
        if not address.strip():
            raise InputError("input: the address is empty; give a folder or file with --input")
        for file in _files(address):
            other = files.setdefault(file.path, file)
            if other.uri != file.uri:
                raise InputError(
                    f"input: {redact(other.uri)} and {redact(file.uri)} have the same source path {file.path!r}; "
                    "give a folder above both, or embed them into separate tables"
                )
            path = paths.setdefault(file.uri, file.path)
            if path != file.path:
                raise InputError(
                    f"input: {redact(file.uri)} is listed twice, as {path!r} and as {file.path!r}; "
                    "name it with one --input only"
                )
    shown = ", ".join(map(redact, addresses))
    return Listing(shown, tuple(sorted(files.values(), key=lambda file: file.path)))


def sizes_in(version: str) -> list[int]:
    """The file sizes in a source's version: of the file, and of its caption files."""
    return [int(size) for size in re.findall(r"(?:^|\+)(\d+)(?=[-+]|$)", version)]


def described_version(version: str) -> str:
    """A source's version for people: the modification times as dates in UTC, not as seconds since 1970."""

    def dated(match: re.Match[str]) -> str:
        return f"{match[1]} bytes of {datetime.fromtimestamp(float(match[2]), UTC).isoformat(' ', 'milliseconds')}"

    return " and ".join(_LOCAL_VERSION.sub(dated, file) for file in version.split("+"))


def _files(address: str) -> Iterator[File]:
    pattern = parse(address)
    filesystem, root = locate(pattern.root or "." if pattern else address)
    if pattern:
        base, query = pattern.root, pattern.query
        found: Iterable[Info] = _matches(filesystem, root.rstrip("/"), pattern, address)
    else:
        base, query = split_query(address)
        root = split_query(root)[0]
        info = _info_of_input(filesystem, root + query, address)
        if info["type"] == "file":
            found = [info]
            root, base = root.rpartition("/")[0], base.rpartition("/")[0]
        else:
            found = _below(filesystem, root, address)
    root, base = root.rstrip("/"), base.rstrip("/")
    if is_local(filesystem):
        base = f"file://{root}"
    for info in found:
        name = info["name"].removesuffix(query)
        path = _text_path(name[len(root) + 1 :], address)
        if not _is_hidden(path):
            yield File(path, f"{base}/{path}{query}", _size(info, address), _version(info))


def _matches(filesystem: Any, root: str, pattern: Pattern, address: str) -> Iterator[Info]:
    """The files of each alternative of a pattern. A folder stands for all files in it."""

    def look_up(path: str) -> list[Info]:
        try:
            return [_info(filesystem, f"{root}/{path}{pattern.query}", address)]
        except AbsentError:
            return []

    names = [path for path in pattern.alternatives if not is_glob(path)]
    with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as threads:
        looked_up = dict(zip(names, threads.map(look_up, names), strict=True))
    for path in pattern.alternatives:
        found = looked_up[path] if path in looked_up else list(_glob(filesystem, root, path.split("/"), address))
        if not found:
            shown = redact(f"{pattern.root}/{path}" if pattern.root else path)
            raise InputError(f"input {redact(address)}: no file or folder matches {shown}; check --input")
        for info in found:
            yield from [info] if info["type"] == "file" else _below(filesystem, info["name"].rstrip("/"), address)


def _glob(filesystem: Any, folder: str, parts: Sequence[str], address: str) -> Iterator[Info]:
    first, rest = parts[0], parts[1:]
    if first == ANY_FOLDERS and rest:
        yield from _glob(filesystem, folder, rest, address)
    try:
        entries = list(_entries(filesystem, folder, address))
    except AbsentError:
        return  # the caller reports a pattern that matches nothing
    for entry in entries:
        name = entry["name"].rstrip("/")
        if first == ANY_FOLDERS:
            if rest and entry["type"] == "directory":
                yield from _glob(filesystem, name, parts, address)
            elif not rest:
                yield entry
        elif fnmatchcase(name.rpartition("/")[2], first):
            if not rest:
                yield entry
            elif entry["type"] == "directory":
                yield from _glob(filesystem, name, rest, address)


def _below(filesystem: Any, root: str, address: str) -> Iterable[Info]:
    """Every file below a folder."""
    if is_local(filesystem):
        return _walk(filesystem, root, ())
    if protocol_of(address) in HTTP_PROTOCOLS:
        raise InputError(f"input {redact(address)}: {UNLISTED}")
    found: dict[str, Info] = patiently(address, lambda: filesystem.find(root, detail=True))
    return [info for info in found.values() if not info["name"].endswith("/")]


def _walk(filesystem: Any, folder: str, above: tuple[Path, ...]) -> Iterator[Info]:
    """The files below a local folder. (fsspec's `find` follows no links, and skips folders that it may not read.)"""
    place = Path(folder).resolve()
    if place in above:
        raise InputError(f"{folder}: this link leads back to a folder that contains it; remove the link")
    for entry in _entries(filesystem, folder, folder):
        if entry["type"] == "directory":
            yield from _walk(filesystem, entry["name"], (*above, place))
        else:
            yield entry


def _entries(filesystem: Any, folder: str, address: str) -> Iterator[Info]:
    """The files and folders in a folder, except hidden ones. A local link gives its target, under the link's name."""
    if not is_local(filesystem):
        entries = patiently(address, lambda: filesystem.ls(folder, detail=True))
        # a store may contain an empty file that stands for the folder itself
        yield from (info for info in entries if info["name"].rstrip("/") != folder and not _is_hidden(info["name"]))
        return
    try:
        entries = filesystem.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AbsentError(f"{folder}: {error.strerror}; check --input") from error
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}; fix the folder or move it out of the input") from error
    for entry in entries:
        if _is_hidden(entry["name"].rpartition("/")[2]):
            continue
        info = _target(filesystem, entry) if entry["islink"] else entry
        if info["type"] not in ("file", "directory"):
            raise InputError(f"{info['name']}: neither a file nor a folder; remove it from the input")
        yield info


def _target(filesystem: Any, link: Info) -> Info:
    """The target of a link, under the link's name."""
    try:
        info: Info = filesystem.info(link["name"])
    except OSError as error:
        raise InputError(f"{link['name']}: the target of this link is missing; fix or remove the link") from error
    return info


def _info_of_input(filesystem: Any, path: str, address: str) -> Info:
    try:
        return _info(filesystem, path, address)
    except AbsentError as error:
        raise InputError(f"input {redact(address)}: no such file or folder; check --input") from error


def _info(filesystem: Any, path: str, address: str) -> Info:
    if is_local(filesystem) and not filesystem.exists(path):
        raise AbsentError(f"{path}: no such file or folder; check --input")
    info: Info = patiently(address, lambda: filesystem.info(path))
    return info


def _text_path(path: str, address: str) -> str:
    """Checks that the path is UTF-8. A table cannot store another one."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"input {redact(address)}: the name {os.fsencode(path)!r} is not UTF-8; rename the file"
        ) from error
    return path


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _size(info: Info, address: str) -> int:
    if info.get("size") is None:
        raise InputError(
            f"input {redact(address)}: its server does not report the file's size; download the file first"
        )
    return int(info["size"])


def _version(info: Info) -> str:
    """The cheapest value in a listing that changes with the content."""
    for key in STAMPS:
        if info.get(key) is not None:
            stamp = info[key]
            text = f"{stamp:.6f}" if isinstance(stamp, float) else str(stamp).strip('"')
            return f"{info['size']}-{text}"
    return str(info["size"])
