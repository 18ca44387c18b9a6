"""Finds what is left to do: the planned chunks without the rows that are already in the table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.errors import InputError
from pipeline.resume import copies
from pipeline.resume.copies import Read
from pipeline.sample import Chunk, RowRanges, Source
from pipeline.table import LedgerEntry, Table, done_rows, read_ledger, rejected_rows, removed_pairs

log = logging.getLogger(__name__)

NAMES_IN_MESSAGE = 3
_OTHER_INPUT = "if this is another input with the same file names, give --source-prefix NAME or another --table"
_ADVICE = {
    True: f"none of its files is as it was: {_OTHER_INPUT}; if every file was edited, see --replace-changed",
    False: f"give --replace-changed to embed it again and delete its old rows, or restore the old file; {_OTHER_INPUT}",
}
"""by whether every file differs"""


@dataclass(frozen=True)
class Remaining:
    """The chunks left to do, and the sources whose rows are already in the table."""

    chunks: Sequence[Chunk]
    skipped: int
    """rows of this input that are already in the table"""
    copied: Mapping[str, str] = field(default_factory=dict)
    """sources with another time or etag than in the table but the same content: their new versions, by path"""
    changed: Mapping[str, str] = field(default_factory=dict)
    """sources to be replaced: their new versions, by path"""


@dataclass(frozen=True)
class Again:
    """Which finished rows of an input are done again."""

    replace_changed: bool = False
    retry_rejected: Sequence[str] | None = None
    """the reasons to retry; empty for all reasons, None for no retry"""


def remaining(
    chunks: Sequence[Chunk], table: Table | None, read: Read, again: Again = Again(), fraction: float = 1.0
) -> Remaining:
    """The chunks with rows left to do, and the number of rows of this input that are in the table.

    A `fraction` below 1 chooses a sample of the rows.

    A source that is completely in the table is dropped without reading it. One that is partly in the table keeps a note
    of its finished rows. If a source has the same size but another time or etag, its content is compared with the
    table; `read` gives a chunk's samples for that.

    Raises:
        InputError: a source has changed since its rows were embedded, and `again.replace_changed` is not set.
    """
    if table is None:
        return Remaining([replace(chunk, fraction=fraction) for chunk in chunks], 0)
    sources = {source.path: source for chunk in chunks for source in chunk.sources}
    ledger = {path: entry for path, entry in read_ledger(table).items() if path in sources}
    touched = copies.touched(sources, ledger)
    differing = _differing(touched, ledger, table, chunks, read, again.replace_changed)
    if differing and not again.replace_changed:
        if all(_only_captions_are_new(sources[path], ledger[path]) for path in differing):
            raise _captions_added(differing, table)
        raise _changed(differing, table, is_all=len(differing) == len(ledger) > 1)
    kept = {path: entry for path, entry in ledger.items() if path not in differing}
    retried = _retried(table, kept, again.retry_rejected)
    partial = [path for path, entry in kept.items() if path in retried or not entry.is_complete]
    done = done_rows(table, partial, but=retried) if partial else {}
    if fraction < 1:
        whole = _with_whole_sample(chunks, ledger, done, fraction)
        done = {path: rows for path, rows in done.items() if path not in whole}
    removed = removed_pairs(table, list(differing)) if differing else {}
    left = [_left_of(replace(chunk, fraction=fraction), kept, done, removed) for chunk in chunks]
    _warn_of_surplus(kept, table)
    held = sum(min(entry.rows, entry.rows_in_source or entry.rows) for entry in kept.values())
    return Remaining(
        [chunk for chunk in left if chunk.sources],
        held - sum(len(rows) for rows in retried.values()),
        {path: source.version for path, source in touched.items() if path in kept},
        {path: sources[path].version for path in differing},
    )


def _warn_of_surplus(ledger: Mapping[str, LedgerEntry], table: Table) -> None:
    surplus = {path: entry for path, entry in ledger.items() if entry.rows > (entry.rows_in_source or entry.rows)}
    for path, entry in list(surplus.items())[:1]:
        log.warning(
            "table %s: has %d rows of %s, which holds %d samples (%d sources with more rows than samples): another "
            "tool may have added rows twice; `siglane verify --table %s --repair` removes the surplus",
            *(table.uri, entry.rows, path, entry.rows_in_source, len(surplus), table.uri),
        )


def _left_of(
    chunk: Chunk,
    kept: Mapping[str, LedgerEntry],
    done: Mapping[str, RowRanges],
    removed: Mapping[str, frozenset[str]],
) -> Chunk:
    sources = tuple(source for source in chunk.sources if source.path not in kept or source.path in done)
    return replace(
        chunk,
        sources=sources,
        done={s.path: done[s.path] for s in sources if s.path in done},
        removed=frozenset().union(*(removed.get(source.path, ()) for source in sources)),
    )


def _with_whole_sample(
    chunks: Sequence[Chunk], ledger: Mapping[str, LedgerEntry], done: Mapping[str, RowRanges], fraction: float
) -> set[str]:
    """The sources whose rows of the sample are all in the table, if that is known without reading the source."""
    numbered = (source for chunk in chunks if chunk.part == 0 and not chunk.gaps for source in chunk.sources)
    rows = {source: ledger[source.path].rows_in_source for source in numbered if source.path in done}
    return {
        source.path
        for source, count in rows.items()
        if count is not None and Chunk((source,), done=done, fraction=fraction).is_done(source.path, 0, count)
    }


def _retried(table: Table, kept: Mapping[str, LedgerEntry], reasons: Sequence[str] | None) -> dict[str, frozenset[int]]:
    """The rejected rows to retry, by source."""
    if reasons is None:
        return {}
    found = {path: rows for path, rows in rejected_rows(table, reasons).items() if path in kept}
    if reasons and not found:
        log.warning("table %s: no row of this input was rejected for %s", table.uri, " or ".join(reasons))
    return found


def _differing(
    touched: Mapping[str, Source],
    ledger: Mapping[str, LedgerEntry],
    table: Table,
    chunks: Sequence[Chunk],
    read: Read,
    every: bool,
) -> dict[str, str]:
    """The sources that have changed, and how. With `every` all of them are found."""
    resized = copies.resized(touched, ledger)
    if resized and not every:
        return resized
    same_size = {path: ledger[path] for path in touched if path not in resized}
    return resized | copies.differing(table, same_size, chunks, read, every)


def _only_captions_are_new(source: Source, entry: LedgerEntry) -> bool:
    return all(source.has_grown_from(version) for version in entry.versions)


def _captions_added(differing: Mapping[str, str], table: Table) -> InputError:
    return InputError(
        f"{next(iter(differing))}: has a caption file that was not there when it was embedded into {table.uri}; "
        f"{len(differing)} files are so; run `siglane captions` with the same --input and --table to add the captions"
    )


def _changed(differing: Mapping[str, str], table: Table, is_all: bool) -> InputError:
    """`is_all`: no file is as the table has it, as where another input has the same file names."""
    first, *others = differing
    named = f", as did {len(others)} others, e.g. {', '.join(others[:NAMES_IN_MESSAGE])}" if others else ""
    return InputError(
        f"{first}: changed since it was embedded into {table.uri} ({differing[first]}){named}; " + _ADVICE[is_all]
    )
