"""The data from a source to the stages: a source is a file, a chunk a unit of scheduling, a sample one pair."""

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
    """One file of the input, from a listing."""

    path: str
    """relative to the input's root, with forward slashes: the table's `source`"""
    uri: str
    """where to open the file"""
    version: str
    """size and modification time or etag; a file with another version counts as another file"""
    size: int
    """bytes"""
    sidecars: tuple[str, ...] = ()
    """URIs of its caption files"""
    min_samples: int = 0
    """the least number of its samples, known from its name"""
    samples: int | None = None
    """the number of its samples, if planning knows it without opening the file"""

    def has_grown_from(self, version: str) -> bool:
        """Whether this is the file of that version, with caption files that were added since."""
        return self.version.startswith(f"{version}+")


@dataclass(frozen=True)
class Taken:
    """What the images and captions of an input are taken from, in words for its user. Its first file decides."""

    images: str
    captions: str | None
    """None: the input has no captions, so its images are embedded alone"""
    texts: tuple[str, ...] = ()
    """without captions: the text fields that may be some"""
    stray: tuple[str, ...] = ()
    """caption files that match no image"""


IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2"),
    *(".jpe", ".jfif", ".mpo", ".apng", ".avifs", ".dib", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ico", ".psd"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".icb", ".vda", ".vst", ".qoi", ".dds", ".sgi", ".rgb", ".rgba"),
    *(".bw", ".icns", ".cur", ".pcx", ".dcx", ".fit", ".fits", ".fli", ".flc", ".ftc", ".ftu", ".blp", ".gbr", ".im"),
    *(".msp", ".pcd", ".pxr", ".ras", ".xbm", ".xpm", ".heic", ".heics", ".heif", ".heifs", ".hif", ".jxl"),
)
"""the suffixes of every format that is decoded (`siglip_core.preprocess.FORMATS`, HEIC, JPEG XL), in lower case"""
UNNAMED_IMAGE = ".img"
"""the suffix in exported tars of images whose format has none"""
MAX_IMAGE_BYTES = 256 << 20
"""limit for a stored image, because it is read completely into memory"""

RowRanges = tuple[tuple[int, int], ...]
"""Sorted half-open ranges of `source_row`, with a gap between any two."""
_EVERY_ROW = 1 << 62
"""larger than any row number"""


@dataclass(frozen=True)
class Stretch:
    """Rows of a source that are read together."""

    source: Source
    start: int
    stop: int
    rows: int
    """number of samples in the source"""
    is_all: bool = False
    """whether a failure to read these rows means that no row of the source can be read"""


def _report_nothing(_stretch: Stretch) -> None:
    """For a chunk that is read where a crash does no harm."""


@dataclass(frozen=True)
class Chunk:
    """The work of one read task: several complete small sources, or one part of a large source.

    Chunks are only for scheduling. The table does not depend on their borders, so another run may use other chunks.
    """

    sources: tuple[Source, ...]
    part: int = 0
    parts: int = 1
    done: Mapping[str, RowRanges] = field(default_factory=dict)
    """rows that are already in the table, by source path; a resumed run skips them"""
    removed: frozenset[str] = frozenset()
    """pairs of these sources that were removed from the table, by uid and by the sha256 of their image"""
    taken: Taken = Taken("", "")
    """what the input's images and captions are taken from"""

    kept: pa.Schema = field(default_factory=lambda: pa.schema([]))
    """columns of the source to keep in the table, under the source's names; planned from its first file"""

    columns: Any = None
    """which fields a manifest's records have (`pipeline.sources.columns.Columns`); planned from its first file"""

    image_folder: str | None = None
    """URI of the folder below which the input has the images that a source names; None if they were not looked up"""

    outside: str | None = None
    """the options that allow the images to be fetched; None unless all of the first ones are outside the input"""

    caption_field: str = "caption"
    """the field of the captions in JSON records beside images; planned from the first record with captions"""

    gaps: bool = False
    """whether row numbers may be missing, so that the number of rows does not say which rows exist"""

    fraction: float = 1.0
    """share of the rows to read, chosen by `is_sampled`"""

    limit: int | None = None
    """the most rows of the chunk to read, from its first row on"""

    with_images: bool = True
    """whether to read the samples' images"""

    with_captions: bool = True
    """whether to read anything of the samples; without images and captions they only show which rows there are"""

    reading: Callable[[Stretch], None] = field(default=_report_nothing, compare=False)
    """called with rows before native code reads them; if that kills the process, these rows are to blame"""

    @property
    def captioned(self) -> bool:
        """Whether the input has captions at all. If so, each sample needs one."""
        return self.taken.captions is not None

    def is_done(self, source: str, row: int, stop: int | None = None) -> bool:
        """Whether this row, or every row from it up to `stop`, need not be read.

        Such a row is already in the table, or does not belong to the sample.
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
        """How many rows of this source are already in the table."""
        return sum(stop - start for start, stop in self.done.get(source, ()))

    def without(self, rows: Collection[tuple[str, int]]) -> Chunk:
        """The chunk with these rows, given as (source path, row), marked as done."""
        added = defaultdict(list)
        for source, row in rows:
            added[source].append((row, row + 1))
        done = {source: _joined([*self.done.get(source, ()), *ranges]) for source, ranges in added.items()}
        limit = None if self.limit is None else self.limit - len(rows)
        return replace(self, done={**self.done, **done}, limit=limit)


@dataclass(frozen=True)
class Reject:
    """Why a sample is not embedded. The fault is in the sample, never in the store or the machine."""

    stage: str
    reason: str
    message: str


MOST_SHOWN = 300
"""characters"""


def shown(text: str) -> str:
    """A message or name from the input as commands print it, on one line of at most `MOST_SHOWN` characters.

    Characters that have no shape of their own, such as control characters, are escaped as in Python (`\\x1b`).
    """
    visible = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: MOST_SHOWN + 1]
    )
    return visible if len(visible) <= MOST_SHOWN else f"{visible[: MOST_SHOWN - 1]}…"


def shown_reject(source: str, row: int, message: str | None) -> str:
    """The message of a rejected row as commands print it, after the row's place if it does not begin with that."""
    message = message or "no message"
    return shown(message if message.startswith(source) else f"{source} row {row}: {message}")


@dataclass(frozen=True)
class Sample:
    """One image–text pair from its source, not decoded."""

    source: Source
    row: int
    rows: int | None
    """number of samples in the source, if the reader knows it"""
    key: str
    """the source's name for the sample, or a name made from its position"""
    image: bytes | None
    caption: str | None
    uid: str | None = None
    member: str | None = None
    width: int | None = None
    height: int | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)
    reject: Reject | None = None
    key_may_repeat: bool = False
    """whether the key comes from the source, so that other rows of the source may have the same key"""


def is_sampled(source: str, row: int, fraction: float) -> bool:
    """Whether a row belongs to the sample of this fraction. It depends on source and row only: all runs agree.

    The sample of a larger fraction contains that of a smaller one.
    """
    digest = blake2b(f"{source}\0{row}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def too_large(name: str, size: int) -> Reject:
    return Reject("read", "too-large", f"{name}: {size} bytes, more than the limit of {MAX_IMAGE_BYTES} for an image")


def row_ranges(rows: Iterable[int]) -> RowRanges:
    """Row numbers as ranges: [0, 1, 2, 7] -> ((0, 3), (7, 8))."""
    return _joined((row, row + 1) for row in rows)


def all_but(rows: Sequence[int]) -> RowRanges:
    """Every row number except these, as ranges. `rows` must be sorted."""
    starts = [0, *(row + 1 for row in rows)]
    return tuple((start, stop) for start, stop in zip(starts, [*rows, _EVERY_ROW], strict=True) if start < stop)


def _joined(ranges: Iterable[tuple[int, int]]) -> RowRanges:
    """Sorts ranges, and merges those that touch or overlap."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return tuple(joined)
