"""What an input's address means: one file or folder, or a pattern for several.

    photos/**/*.jpg         `*`, `?` and `[…]` within a name, `**` for any number of folders; hidden names never match
    s3://b/{00000..00999}.tar, {cats,dogs}/*.jpg     every member of a brace must exist

The name of an existing local file or folder is never a pattern. Elsewhere `[*]`, `[[]` and `[{]` stand for the
characters themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import InputError
from pipeline.storage.filesystems import HTTP_PROTOCOLS, is_local, locate, protocol_of
from pipeline.storage.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ALTERNATIVES = 1_000_000
ANY_FOLDERS = "**"

_GLOB = re.compile(r"[*?\[]")
# A brace with a comma or a range in it, and without another brace; `[{]` is not a brace.
_BRACE = re.compile(r"(?<!\[)\{([^{}]*(?:,|\.\.)[^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_TABLE_FILES = ("data/0.lance", "_versions/0.manifest", "_transactions/0.txn")


@dataclass(frozen=True)
class Pattern:
    """An address that stands for several files."""

    root: str
    """the longest leading folder without a pattern; sources' paths are relative to it"""
    alternatives: tuple[str, ...]
    """paths below the root, with braces expanded"""
    query: str = ""
    """of a web address: added to every file's URI, and not part of its path"""


def parse(address: str) -> Pattern | None:
    """The pattern in an address, or None if it is one file or folder.

    Raises:
        InputError: a pattern for a server that cannot list folders, or a pattern with too many alternatives.
    """
    protocol = protocol_of(address)
    if protocol in ("file", "local") and os.path.lexists(LocalFileSystem._strip_protocol(address)):
        return None
    path, query = split_query(address)
    start = path.find("://") + 3 if "://" in path else 0
    if "://" in path:  # a host or bucket is never a pattern
        start = max(path.find("/", start), start)
    found = [match.start() for kind in (_GLOB, _BRACE) if (match := kind.search(path, start))]
    if not found:
        return None
    cut = path.rfind("/", 0, min(found)) + 1
    alternatives = tuple(dict.fromkeys(islice(_spelled_out(path[cut:]), MOST_ALTERNATIVES + 1)))
    if len(alternatives) > MOST_ALTERNATIVES:
        raise InputError(
            f"input {redact(address)}: its braces stand for more than {MOST_ALTERNATIVES} names; use a pattern with `*`"
        )
    if protocol in HTTP_PROTOCOLS and any(map(is_glob, alternatives)):
        raise InputError(f"input {redact(address)}: {UNLISTED}")
    return Pattern(path[:cut].rstrip("/") or path[:cut], alternatives, query)


UNLISTED = "a web server cannot list a folder; name the files, with braces ({00..99}) or several --input"


def is_glob(path: str) -> bool:
    return _GLOB.search(path) is not None


def split_query(address: str) -> tuple[str, str]:
    """Splits a web address into the address without query, and the query."""
    if protocol_of(address) not in HTTP_PROTOCOLS:
        return address, ""
    path, mark, query = address.partition("?")
    return path, mark + query


def takes_in(address: str, uri: str) -> bool:
    """Whether this input would include the files of a table at `uri`."""
    pattern = parse(address)
    root = _place(pattern.root if pattern else address)
    place = _place(uri)
    if not place.startswith(f"{root}/"):
        return False
    if pattern is None:
        return True
    folder = place[len(root) + 1 :]
    paths = [f"{folder}/{file}".split("/") for file in _TABLE_FILES]
    return any(_fits(parts.split("/"), path) for parts in pattern.alternatives for path in paths)


def _fits(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a pattern matches a path or a folder above it. A matched folder includes everything in it."""
    if not parts:
        return True
    if not names:
        return False
    if parts[0] == ANY_FOLDERS:
        return len(parts) == 1 or _fits(parts[1:], names) or _fits(parts, names[1:])
    return fnmatchcase(names[0], parts[0]) and _fits(parts[1:], names[1:])


def _place(uri: str) -> str:
    filesystem, path = locate(uri)
    if is_local(filesystem):
        return Path(path).resolve().as_posix().rstrip("/")
    protocols = filesystem.protocol
    return f"{protocols if isinstance(protocols, str) else protocols[0]}://{path.rstrip('/')}"


def _spelled_out(text: str) -> Iterator[str]:
    match = _BRACE.search(text)
    members = _members(match[1]) if match else None
    if match is None or members is None:
        yield text
        return
    for member in members:
        yield from _spelled_out(text[: match.start()] + member + text[match.end() :])


def _members(inside: str) -> Iterator[str] | None:
    """`00..11` -> 00, 01, … 11; `a,b` -> a, b; None for text that only looks like a range."""
    found = _RANGE.fullmatch(inside)
    if found:
        first, last = int(found[1]), int(found[2])
        padded = any(len(text) > 1 and text.startswith("0") for text in found.groups())
        width = max(map(len, found.groups())) if padded else 0
        return (f"{number:0{width}d}" for number in range(min(first, last), max(first, last) + 1))
    return iter(inside.split(",")) if "," in inside else None
