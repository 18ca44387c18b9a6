"""Limits an input to its first rows: the chunks then give exactly that many, whichever task is faster.

The rows are counted before the run starts. Counting reads the samples without their images: caption files, tar headers,
Parquet footers and lines of manifests, up to the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from pipeline.sample import Chunk, Sample

CHUNKS_AT_ONCE = 16
"""maximum number of chunks that are counted at the same time"""

Read = Callable[[Chunk], Iterator[Sample]]


def first_rows(chunks: Sequence[Chunk], rows: int, read: Read) -> list[Chunk]:
    """The chunks, in their order, that have the first `rows` samples left to read. The last chunk gets a limit."""

    def count(chunk: Chunk) -> int:
        return sum(1 for _ in islice(read(replace(chunk, with_images=False, with_captions=False)), rows))

    taken: list[Chunk] = []
    left = rows
    with ThreadPoolExecutor(CHUNKS_AT_ONCE, thread_name_prefix="count") as pool:
        for group in _growing(chunks):
            if left == 0:
                break
            for chunk, found in zip(group, pool.map(count, group), strict=True):
                held = min(found, left)
                taken += [replace(chunk, limit=held)] if held else []
                left -= held
    return taken


def _growing(chunks: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
    """The chunks in groups of growing size, because the first chunk may be enough, and a chunk can be a large tar."""
    start, size = 0, 1
    while start < len(chunks):
        yield chunks[start : start + size]
        start, size = start + size, min(2 * size, CHUNKS_AT_ONCE)
