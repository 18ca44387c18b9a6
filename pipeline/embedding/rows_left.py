"""How many rows a plan has left to do, as far as it is cheap to know: for `--dry-run`, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline import sources
from pipeline.embedding.expected_rows import ExpectedRows
from pipeline.embedding.plan import EmbedPlan
from pipeline.sample import Chunk

FILES = 16
"""files whose footers are read at most"""


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


def _spread(paths: Sequence[str]) -> Sequence[str]:
    """At most `FILES` of them, at equal distances, because files of one kind often lie together."""
    return [paths[place * len(paths) // FILES] for place in range(FILES)] if len(paths) > FILES else paths


def _samples_in(path: str, chunk: Chunk, plan: EmbedPlan) -> int:
    (source,) = (source for source in chunk.sources if source.path == path)
    whole = replace(chunk, sources=(source,), part=0, parts=1, done={}, limit=None, fraction=1.0)
    samples = sources.formats()[plan.decode.input_format].read(
        replace(whole, with_images=False, with_captions=False), plan.decode.options
    )
    first = next(iter(samples), None)
    return (first.rows or 0) if first is not None else 0
