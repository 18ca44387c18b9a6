"""The first rows of an input: chunks cut so that reading them gives just so many, whichever task is quicker.

Where the cut falls is counted before the run starts. The samples are counted as they will be read, without their
images: captions' files, tars' headers, Parquet's footers and manifests' lines are looked at, as far as the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from pipeline.sample import Chunk, Sample

CHUNKS_AT_ONCE = 16
"""counted side by side, at most"""

Read = Callable[[Chunk], Iterator[Sample]]


def first_rows(chunks: Sequence[Chunk], rows: int, read: Read) -> list[Chunk]:
    """The chunks, in their order, that hold the first `rows` samples of those left to read; the last of them is cut."""

    def count(chunk: Chunk) -> int:
        return sum(1 for _ in islice(read(replace(chunk, with_images=False)), rows))

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
    """The chunks in groups, first small ones: a chunk may be a tar, and the first may do."""
    start, size = 0, 1
    while start < len(chunks):
        yield chunks[start : start + size]
        start, size = start + size, min(2 * size, CHUNKS_AT_ONCE)
