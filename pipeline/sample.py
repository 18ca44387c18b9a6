"""What flows from a source to the stages: a source is a file, a chunk a unit of scheduling, a sample one pair."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import pyarrow as pa


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
    min_samples: int = 0
    """how many samples it holds at least, as far as its name tells"""


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2")
MAX_IMAGE_BYTES = 256 << 20
"""of one image as it is stored, which is read whole"""

RowRanges = tuple[tuple[int, int], ...]
"""Sorted half-open ranges of `source_row`, a gap between any two."""
_EVERY_ROW = 1 << 62
"""beyond any row number"""


@dataclass(frozen=True)
class Stretch:
    """Rows of a source that are read together."""

    source: Source
    start: int
    stop: int
    rows: int
    """how many samples the source holds"""
    is_all: bool = False
    """whether nothing of the source can be read where these cannot; they stand for it then"""


def _tell_nobody(_stretch: Stretch) -> None:
    """What a chunk does that is read where it can do no harm."""


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
    removed: frozenset[str] = frozenset()
    """pairs of these sources that were removed from the table, by uid and by the sha256 of their image"""
    captioned: bool = True
    """whether the input has captions at all; where it has, each sample needs one"""

    kept: pa.Schema = field(default_factory=lambda: pa.schema([]))
    """columns of the source that go into the table, under the source's own names, as planned from its first file"""

    columns: Any = None
    """which fields a manifest's records have (`pipeline.sources.columns.Columns`), as planned from its first file"""

    gaps: bool = False
    """whether numbers of rows may be missing, so that how many there are does not tell which"""

    fraction: float = 1.0
    """of the rows that are read at all: a sample of them, chosen by `is_sampled`"""

    limit: int | None = None
    """at most so many rows of it are read: its first"""

    with_images: bool = True
    """whether its samples' images are wanted: to count the samples they are not"""

    reading: Callable[[Stretch], None] = field(default=_tell_nobody, compare=False)
    """is told of rows before native code reads them: where this kills the process, they are the culprits"""

    def is_done(self, source: str, row: int, stop: int | None = None) -> bool:
        """Whether nothing is to be read of this row, or of all from it up to `stop`.

        The table holds them, or they do not belong to the sample.
        """
        end = row + 1 if stop is None else stop
        ranges = self.done.get(source, ())
        before = bisect_right(ranges, row, key=itemgetter(0))
        if before > 0 and end <= ranges[before - 1][1]:
            return True
        if self.fraction == 1:
            return False
        if end > row + 1:
            return all(self.is_done(source, each) for each in range(row, end))
        return not is_sampled(source, row, self.fraction)

    def rows_done(self, source: str) -> int:
        """How many rows of this source the table holds already."""
        return sum(stop - start for start, stop in self.done.get(source, ()))

    def without(self, rows: Collection[tuple[str, int]]) -> Chunk:
        """The chunk with these rows, as (source path, row), done too."""
        added = defaultdict(list)
        for source, row in rows:
            added[source].append((row, row + 1))
        done = {source: _joined([*self.done.get(source, ()), *ranges]) for source, ranges in added.items()}
        limit = None if self.limit is None else self.limit - len(rows)
        return replace(self, done={**self.done, **done}, limit=limit)


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
    """the source's own name for it, or one made from its place"""
    image: bytes | None
    caption: str | None
    uid: str | None = None
    member: str | None = None
    width: int | None = None
    height: int | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    reject: Reject | None = None
    key_may_repeat: bool = False
    """whether the key is the source's own, so that other rows of it may have the same"""


def is_sampled(source: str, row: int, fraction: float) -> bool:
    """Whether a row belongs to the sample of this fraction: told by its name, so that all runs choose the same.

    The rows of a smaller fraction are among those of a larger one.
    """
    digest = blake2b(f"{source}\0{row}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def too_large(name: str, size: int) -> Reject:
    return Reject("read", "too-large", f"{name}: {size} bytes, more than the limit of {MAX_IMAGE_BYTES} of an image")


def row_ranges(rows: Iterable[int]) -> RowRanges:
    """Row numbers as ranges: [0, 1, 2, 7] -> ((0, 3), (7, 8))."""
    return _joined((row, row + 1) for row in rows)


def all_but(rows: Sequence[int]) -> RowRanges:
    """Every row number but these, which are sorted, as ranges."""
    starts = [0, *(row + 1 for row in rows)]
    return tuple((start, stop) for start, stop in zip(starts, [*rows, _EVERY_ROW], strict=True) if start < stop)


def _joined(ranges: Iterable[tuple[int, int]]) -> RowRanges:
    """Ranges sorted, those that meet made one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return tuple(joined)
