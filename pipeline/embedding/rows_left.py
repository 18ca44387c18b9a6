"""How many rows a plan has left to do, as far as it is cheap to know: for `--dry-run`, before anything is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline import sources
from pipeline.embedding.expected_rows import ExpectedRows
from pipeline.embedding.plan import EmbedPlan
from pipeline.sample import Chunk, Sample, Source

FILES = 16
"""files whose footers are read at most"""
QUICK_BYTES = 64 << 20
"""a source on a store with more bytes is not read to count its rows"""


@dataclass(frozen=True)
class RowsLeft:
    """The rows that are left, and what says so. Where nothing says so cheaply, both are None."""

    rows: int | None
    is_exact: bool
    known_from: str | None


def rows_left(plan: EmbedPlan) -> RowsLeft:
    """Counts or estimates the rows. Reads at most `FILES` footers.

    Raises:
        StorageError: a footer cannot be fetched.
    """
    expected = ExpectedRows(plan.chunks)
    if expected.is_exact:
        limited = any(chunk.limit is not None for chunk in plan.chunks)
        return RowsLeft(expected.total, True, "--limit" if limited else "the listing")
    known_from = "the listing" if expected.total is not None else None
    if sources.formats()[plan.decode.input_format].TELLS_ROWS_AT_ONCE:
        unknown = {source.path: chunk for chunk in plan.chunks for source in chunk.sources if source.samples is None}
        looked_at = _spread(list(unknown))
        with ThreadPoolExecutor(FILES, thread_name_prefix="footers") as pool:
            counts = pool.map(lambda path: _samples_in(path, unknown[path], plan), looked_at)
            expected.stated(dict(zip(looked_at, counts, strict=True)))
        known_from = f"the footers of {len(looked_at)} of {len(unknown)} files"
    return RowsLeft(expected.total, expected.is_exact, known_from)


def estimated_rows(plan: EmbedPlan, bytes_per_row: float) -> RowsLeft:
    """Where `rows_left` knows nothing: by the rows of one whole source, if that is quick to read, or else by the bytes
    of images and captions in a row.

    Raises:
        StorageError: the source cannot be read.
    """
    chunk_of = {source: chunk for chunk in plan.chunks for source in chunk.sources}
    size = sum(source.size for source in chunk_of)
    smallest = min((source for source in chunk_of if source.size), key=lambda source: source.size, default=None)
    if smallest is not None and ("://" not in smallest.uri or smallest.size <= QUICK_BYTES):
        rows = sum(1 for _ in _read_without_content(smallest, chunk_of[smallest], plan))
        return RowsLeft(round(rows * size / smallest.size), len(chunk_of) == 1, f"the rows of {smallest.path}")
    return RowsLeft(round(size / bytes_per_row), False, "the bytes of the sampled rows")


def _spread(paths: Sequence[str]) -> Sequence[str]:
    """At most `FILES` of them, at equal distances, because files of one kind often lie together."""
    return [paths[place * len(paths) // FILES] for place in range(FILES)] if len(paths) > FILES else paths


def _samples_in(path: str, chunk: Chunk, plan: EmbedPlan) -> int:
    (source,) = (source for source in chunk.sources if source.path == path)
    first = next(_read_without_content(source, chunk, plan), None)
    return (first.rows or 0) if first is not None else 0


def _read_without_content(source: Source, chunk: Chunk, plan: EmbedPlan) -> Iterator[Sample]:
    """Every sample of the source, without image and caption."""
    whole = replace(chunk, sources=(source,), part=0, parts=1, done={}, limit=None, fraction=1.0)
    bare = replace(whole, with_images=False, with_captions=False)
    return iter(sources.formats()[plan.decode.input_format].read(bare, plan.decode.options))
