"""What flows from a source to the stages: a source is a file, a chunk a unit of scheduling, a sample one pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """One file of the input, as a listing shows it."""

    path: str
    """relative to the input's root, with forward slashes: the table's `source`"""
    uri: str
    """where to open it"""
    version: str
    """size and modification time or etag: another version is another file"""
    size: int
    """bytes"""
    sidecars: tuple[str, ...] = ()
    """URIs of the files beside it that hold its captions"""


RowRanges = tuple[tuple[int, int], ...]
"""Sorted, disjoint half-open ranges of `source_row`."""


@dataclass(frozen=True)
class Chunk:
    """What one read task does: some small sources whole, or one part of a large one.

    Chunks only schedule. Nothing in the table depends on where they were cut, so another run may cut otherwise.
    """

    sources: tuple[Source, ...]
    part: int = 0
    parts: int = 1
    done: Mapping[str, RowRanges] = field(default_factory=dict)
    """rows that the table holds already, by source path: a resumed run skips them"""
    captioned: bool = True
    """whether the input has captions at all; where it has, each sample needs one"""

    def is_done(self, source: str, row: int) -> bool:
        return any(start <= row < stop for start, stop in self.done.get(source, ()))


@dataclass(frozen=True)
class Reject:
    """Why a sample is not embedded: its own fault, never the store's or the machine's."""

    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class Sample:
    """One image–text pair as its source holds it, nothing decoded."""

    source: Source
    row: int
    rows: int | None
    """how many samples the source holds, where the reader knows"""
    key: str
    image: bytes | None
    caption: str | None
    uid: str | None = None
    member: str | None = None
    width: int | None = None
    height: int | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    reject: Reject | None = None


def row_ranges(rows: Sequence[int]) -> RowRanges:
    """Sorted row numbers as ranges: [0, 1, 2, 7] -> ((0, 3), (7, 8))."""
    ranges: list[tuple[int, int]] = []
    for row in rows:
        if ranges and ranges[-1][1] == row:
            ranges[-1] = (ranges[-1][0], row + 1)
        else:
            ranges.append((row, row + 1))
    return tuple(ranges)
