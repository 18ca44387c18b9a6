"""Decides whether a source was copied or changed. If only times or etags differ, the content is compared.

The table has the key, the caption and the image's sha256 of each row. Sources are compared completely, row by row, and
nothing is decoded. Reading a large dataset can take hours, so beyond some limits only a random sample of its sources is
compared, unless `every` is set.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from pipeline import schema, storage
from pipeline.iteration import grouped
from pipeline.sample import Chunk, Sample, Source
from pipeline.table import LedgerEntry, Table, rows_of_sources

log = logging.getLogger(__name__)

MAX_ROWS = 20_000
MAX_BYTES = 4 << 30
"""limits of all compared sources together; the random sample ends at either limit"""
MIN_SOURCES = 4
"""number of sources that are compared even if they exceed the limits"""
ROWS_IN_MEMORY = 1_000_000
"""rows of the table in memory for the comparison; the last source can exceed it"""
AT_ONCE = 8
BYTES_AT_ONCE = 256 << 20
"""bytes of sources that are read at the same time"""

Read = Callable[[Chunk], Iterator[Sample]]


def touched(sources: Mapping[str, Source], ledger: Mapping[str, LedgerEntry]) -> dict[str, Source]:
    """The sources, by path, whose version differs from that in the table: another time, etag or size."""
    return {
        path: sources[path]
        for path, entry in ledger.items()
        if path in sources and entry.versions != {sources[path].version}
    }


def resized(touched: Mapping[str, Source], ledger: Mapping[str, LedgerEntry]) -> dict[str, str]:
    """The sources that cannot be copies, and how each differs: in its size, or in a version made from its content."""
    return {
        path: f"was {_described(ledger[path].versions)}, is now {_described([source.version])}"
        for path, source in touched.items()
        if not _has_size_of(source, ledger[path])
    }


def _described(versions: Iterable[str]) -> str:
    return " or ".join(map(storage.described_version, sorted(versions)))


def _has_size_of(source: Source, entry: LedgerEntry) -> bool:
    sizes = storage.sizes_in(source.version)  # empty for the version of a Lance fragment
    return bool(sizes) and all(storage.sizes_in(version) == sizes for version in entry.versions)


def differing(
    table: Table, candidates: Mapping[str, LedgerEntry], chunks: Sequence[Chunk], read: Read, every: bool
) -> dict[str, str]:
    """The candidates whose content differs from the table's rows, and how each differs.

    Args:
        table: the table to compare with.
        candidates: the table's ledger entries of the sources, by path.
        chunks: the chunks of the complete input.
        read: gives a chunk's samples.
        every: compare all candidates, not only a sample.

    Raises:
        SiglaneError: any error of `read`.
    """
    if not candidates:
        return {}
    parts: dict[str, list[Chunk]] = {path: [] for path in candidates}
    for chunk in chunks:
        for source in chunk.sources:
            if source.path in parts:
                parts[source.path].append(replace(chunk, sources=(source,)))
    sizes = {path: of_source[0].sources[0].size for path, of_source in parts.items()}
    chosen = list(candidates) if every else _choice(candidates, sizes)
    log.info(
        "%d sources have other times or etags than in table %s: comparing the content of %d of them",
        len(candidates),
        table.uri,
        len(chosen),
    )
    threads = max(1, min(AT_ONCE, BYTES_AT_ONCE // max(1, *sizes.values())))
    found: dict[str, str] = {}
    with ThreadPoolExecutor(threads, thread_name_prefix="compare") as pool:
        for group in grouped(chosen, (ROWS_IN_MEMORY, lambda path: candidates[path].rows)):
            known = _known_rows(table, group)
            compare = partial(_difference, read=read)
            compared = pool.map(compare, *([of[path] for path in group] for of in (parts, candidates, known)))
            found |= {path: how for path, how in zip(group, compared, strict=True) if how is not None}
    return found


@dataclass(frozen=True)
class _Row:
    """The table's values of a sample."""

    key: str
    caption: str | None
    digest: str | None
    is_removed: bool


def _choice(candidates: Mapping[str, LedgerEntry], sizes: Mapping[str, int]) -> list[str]:
    # The seed is fixed, so that a run that was refused is refused again.
    shuffled = random.Random(0).sample(list(candidates), len(candidates))
    rows = size = 0
    for count, path in enumerate(shuffled):
        rows, size = rows + candidates[path].rows, size + sizes[path]
        if count >= MIN_SOURCES and (rows > MAX_ROWS or size > MAX_BYTES):
            return shuffled[:count]
    return shuffled


def _known_rows(table: Table, paths: Sequence[str]) -> dict[str, dict[int, _Row]]:
    columns = [schema.SOURCE, schema.SOURCE_ROW, schema.KEY, schema.CAPTION, schema.IMAGE_SHA256, schema.STATUS]
    known: dict[str, dict[int, _Row]] = {path: {} for path in paths}
    for batch in rows_of_sources(table, paths, columns).to_batches():
        for path, row, key, caption, digest, status in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            known[path][row] = _Row(key, caption, digest, status == schema.REMOVED)
    return known


def _difference(parts: Sequence[Chunk], entry: LedgerEntry, known: Mapping[int, _Row], read: Read) -> str | None:
    left = dict(known)
    for part in parts:
        for sample in read(part):
            row = left.pop(sample.row, None)
            if row is None and entry.is_complete:
                return f"row {sample.row} is new"
            if row is not None and (what := _other(row, sample)):
                return f"row {sample.row} has another {what}"
    return f"row {min(left)} is missing" if left else None


def _other(row: _Row, sample: Sample) -> str | None:
    if row.key != sample.key:
        return "key"
    if row.is_removed:
        return None
    if (row.caption or "").strip() != (sample.caption or "").strip():
        return "caption"
    digest = None if sample.image is None else hashlib.sha256(sample.image).hexdigest()
    return None if row.digest == digest else "image"
