"""Chunks -> photos: reads the samples, rejects unusable ones, and decodes and resizes each distinct image once."""

from __future__ import annotations

import hashlib
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from pipeline import schema, sources
from pipeline.bottleneck import DECODE, SOURCE
from pipeline.iteration import ahead, grouped, one, timed
from pipeline.sample import Chunk, Reject, Sample
from pipeline.sources import SourceOptions
from pipeline.stages import photos
from pipeline.stages.image_statistics import image_statistics
from pipeline.stages.photos import Photo
from pipeline.stages.thumbnail import thumbnail
from pipeline.storage import retries
from siglip_core.errors import ImageError
from siglip_core.preprocess import Decoded, decode
from siglip_core.variants import Preprocessing

CHUNK = "chunk"
"""the only column of this stage's input: a pickled `Chunk`"""

PAIRS_PER_WINDOW = 256
"""Samples processed together; equal images among them are decoded once."""
BYTES_PER_WINDOW = 64 << 20
"""A window is also full when its samples have this many bytes of images and captions."""
LARGE_PIXELS = 36_000_000
"""One image with more pixels is decoded at a time, whatever the number of threads: it can take a gigabyte."""
MOST_THREADS = 8
"""that decode at once: with more of them they would wait for each other's Python"""
_one_large_image = threading.Lock()


Window = Sequence[tuple[Sample, str | None]]
"""samples, each with the sha256 of its image if it has one"""
Decoding = Callable[[Sample, str], AbstractContextManager[None]]


@dataclass(frozen=True)
class ReadAndDecode:
    """Callable on a table of pickled chunks; yields photos (`photos.photo_schema`), one table per window."""

    input_format: str
    options: SourceOptions
    preprocessing: Preprocessing
    max_pixels: int
    kept: pa.Schema
    """columns kept from the source, with the table's names"""
    allow_missing: bool = False
    """whether a sample may lack either its image or its caption"""
    with_statistics: bool = False
    """whether to compute the statistics of images; `kept` has their columns then"""
    thumbnail_px: int | None = None
    """the most pixels of a thumbnail's side; `kept` has their column then. None: no thumbnails"""

    def __call__(self, chunks: pa.Table) -> Iterator[pa.Table]:
        for chunk in chunks_in(chunks):
            yield from self.photos(chunk)

    def photos(
        self,
        chunk: Chunk,
        decoding: Decoding = lambda _sample, _digest: nullcontext(),
        threads: ThreadPoolExecutor | None = None,
    ) -> Iterator[pa.Table]:
        """The chunk's photos, one table per window.

        Args:
            chunk: what to read.
            decoding: called with a sample and its image's sha256; each image is decoded inside the context that it
                gives. If decoding kills the process, an image inside its context is the cause.
            threads: decode the images, and the next window is read meanwhile; without them, one thread does one thing
                after the other.
        """
        samples = islice(sources.formats()[self.input_format].read(chunk, self.options), chunk.limit)
        # `map` releases a window before the next one is read.
        windows = timed(map(_digested, grouped(samples, (PAIRS_PER_WINDOW, one), (BYTES_PER_WINDOW, _size))))
        in_turn = windows if threads is None else ahead(windows)
        yield from map(partial(self._counted, chunk=chunk, decoding=decoding, threads=threads), in_turn)

    def rejected(self, samples: Iterable[Sample], digest: str | None = None) -> pa.Table:
        """The photos of samples that are rejected without decoding. `digest` is that of their image, if known."""
        found = [Photo(None, [self._pair(sample, sample.reject, digest, None)]) for sample in samples]
        return photos.with_samples(photos.table_of(found, self.kept), len(found))

    def _counted(
        self, read: tuple[Window, float], chunk: Chunk, decoding: Decoding, threads: ThreadPoolExecutor | None
    ) -> pa.Table:
        window, reading = read
        in_decode = list[float]()
        found = self._photos(window, chunk, decoding, threads, in_decode)
        return photos.with_samples(found, len(window), {SOURCE: reading, DECODE: sum(in_decode)})

    def _photos(
        self,
        window: Window,
        chunk: Chunk,
        decoding: Decoding,
        threads: ThreadPoolExecutor | None,
        in_decode: list[float],
    ) -> pa.Table:
        """The seconds that each image takes are added to `in_decode`."""
        by_image: dict[str | None, list[Sample]] = {}
        found: list[Photo] = []
        for sample, digest in window:
            if chunk.removed and not chunk.removed.isdisjoint([_uid(sample), str(digest)]):
                found.append(Photo(None, [self._removed(sample, digest)]))
            else:
                by_image.setdefault(digest, []).append(sample)

        def photo(digest: str | None, samples: list[Sample]) -> Photo:
            began = time.monotonic()
            made = self._photo(digest, samples, chunk.captioned, decoding)
            in_decode.append(time.monotonic() - began)
            return made

        found += _each(photo, list(by_image.items()), threads)
        return photos.table_of(found, self.kept, list(retries.take().elements()))

    def _photo(self, digest: str | None, samples: list[Sample], captioned: bool, decoding: Decoding) -> Photo:
        rejects = [_reject(sample, captioned, self.allow_missing) for sample in samples]
        image = samples[0].image
        decoded: Decoded | None = None
        columns: dict[str, Any] = {}
        if image is not None and digest is not None:
            try:
                decoded, columns = self._decoded(image, lambda: decoding(samples[0], digest))
            except ImageError as error:
                broken = Reject("decode", error.reason, str(error))
                rejects = [reject or broken for reject in rejects]
        pairs = [self._pair(*item, digest, decoded) for item in zip(samples, rejects, strict=True)]
        pairs = [pair if reject else pair | columns for pair, reject in zip(pairs, rejects, strict=True)]
        return Photo(None if decoded is None or all(rejects) else decoded.pixels, pairs)

    def _decoded(
        self, image: bytes, decoding: Callable[[], AbstractContextManager[None]]
    ) -> tuple[Decoded, dict[str, Any]]:
        """The image, and the columns that are computed from it. Raises `ImageError`."""
        try:
            with decoding():
                return self._with_columns(image, min(self.max_pixels, LARGE_PIXELS))
        except ImageError as error:  # of its header, so nothing was decoded yet
            if error.reason != "too-large" or self.max_pixels <= LARGE_PIXELS:
                raise
        with _one_large_image, decoding():
            return self._with_columns(image, self.max_pixels)

    def _with_columns(self, image: bytes, max_pixels: int) -> tuple[Decoded, dict[str, Any]]:
        decoded = decode(image, self.preprocessing, max_pixels=max_pixels)
        columns: dict[str, Any] = dict(image_statistics(decoded.pixels)) if self.with_statistics else {}
        if self.thumbnail_px is not None:
            columns[schema.THUMBNAIL] = thumbnail(decoded.picture, self.thumbnail_px)
        return decoded, columns

    def _pair(
        self, sample: Sample, reject: Reject | None, digest: str | None, decoded: Decoded | None
    ) -> dict[str, Any]:
        path = sample.source.path
        # A size stated by the source is that of the original image; img2dataset, for example, stores smaller images.
        stated = (sample.width, sample.height) if sample.width and sample.height else None
        # If captions are optional, a blank caption counts as missing.
        caption = None if self.allow_missing and not _has_caption(sample) else sample.caption
        width, height = stated or ((decoded.width, decoded.height) if decoded else (None, None))
        return {
            schema.UID: _uid(sample),
            schema.KEY: sample.key,
            schema.SOURCE: path,
            schema.SOURCE_VERSION: sample.source.version,
            schema.SOURCE_ROW: sample.row,
            schema.SOURCE_ROWS: sample.rows,
            schema.MEMBER: sample.member,
            schema.CAPTION: caption,
            schema.ORIGINAL_WIDTH: width,
            schema.ORIGINAL_HEIGHT: height,
            schema.IMAGE_SHA256: digest,
            schema.STATUS: schema.REJECTED if reject else schema.SUCCESS,
            schema.STAGE: reject and reject.stage,
            schema.REASON: reject and reject.reason,
            schema.ERROR_MESSAGE: reject and reject.message,
            **{schema.kept_name(name): value for name, value in sample.kept.items()},
        }

    def _removed(self, sample: Sample, digest: str | None) -> dict[str, Any]:
        """The tombstone of a pair that was removed earlier."""
        bare = replace(sample, caption=None, width=None, height=None, kept={})
        return self._pair(bare, None, digest, None) | {schema.STATUS: schema.REMOVED}


def _digested(window: Sequence[Sample]) -> Window:
    return [(sample, None if sample.image is None else hashlib.sha256(sample.image).hexdigest()) for sample in window]


def _each(
    call: Callable[..., Any], items: Sequence[tuple[Any, ...]], threads: ThreadPoolExecutor | None
) -> Sequence[Any]:
    """The results of the call for each of the items, in their order. An error is raised after all calls have ended."""
    if threads is None:
        return [call(*item) for item in items]
    results: list[Any] = [None] * len(items)
    left = iter(range(len(items)))  # each thread takes the next one; a task an image would cost 40 µs of CPU

    def work() -> None:
        for number in left:
            results[number] = call(*items[number])

    working = [threads.submit(work) for _ in range(MOST_THREADS)]  # where there are fewer, the last ones find none left
    wait(working)
    for each in working:
        each.result()
    return results


def chunk_table(chunks: Sequence[Chunk]) -> pa.Table:
    """Chunks as an input table of this stage."""
    return pa.table({CHUNK: pa.array([pickle.dumps(chunk) for chunk in chunks], pa.binary())})


def chunks_in(table: pa.Table) -> Iterator[Chunk]:
    for pickled in table[CHUNK].to_pylist():
        yield pickle.loads(pickled)


def _size(sample: Sample) -> int:
    return len(sample.image or b"") + len(sample.caption or "")


def _uid(sample: Sample) -> str:
    # A key that can repeat, such as a photo's key at each of its captions, is made unique by the row.
    key = f"{sample.key}\0{sample.row}" if sample.key_may_repeat else sample.key
    return schema.make_uid(sample.source.path, key, sample.uid)


def _reject(sample: Sample, captioned: bool, allow_missing: bool) -> Reject | None:
    """The reject of a sample that is known before its image is decoded; None if there is none."""
    if sample.reject is not None:
        return sample.reject
    where = f"{sample.source.path} row {sample.row}"
    if sample.image is None and not (allow_missing and _has_caption(sample)):
        return Reject(
            "read", "no-image", f"{where}: no image bytes; add them, or embed the caption alone (--allow-missing)"
        )
    if captioned and not (_has_caption(sample) or allow_missing):
        what = "no caption" if sample.caption is None else "an empty caption"
        return Reject("read", "no-caption", f"{where}: {what}; add one, or embed the image alone (--allow-missing)")
    return None


def _has_caption(sample: Sample) -> bool:
    return sample.caption is not None and bool(sample.caption.strip())
