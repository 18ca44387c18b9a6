"""What is left to do: the planned chunks, less what the table holds already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline import copies, storage
from pipeline.copies import Read
from pipeline.errors import InputError
from pipeline.sample import Chunk, RowRanges, Source
from pipeline.table import LedgerEntry, Table, done_rows, read_ledger

NAMES_IN_MESSAGE = 3


@dataclass(frozen=True)
class Remaining:
    """What is left to do, and what became of the sources that the table holds."""

    chunks: Sequence[Chunk]
    skipped: int
    """rows of this input that the table holds already"""
    copied: Mapping[str, str] = field(default_factory=dict)
    """sources with other times or etags than in the table, and the same content: their new versions, by path"""


def remaining(chunks: Sequence[Chunk], table: Table | None, read: Read) -> Remaining:
    """The chunks with something left to do, and how many rows of this input the table holds.

    A source that is in the table whole is dropped unread; one that is there in part carries its finished rows along.
    One whose size is as it was, and its time or etag not, is compared with the table by content: `read` gives a chunk's
    samples.

    Raises:
        InputError: a source has changed since its rows were embedded.
    """
    if table is None:
        return Remaining(list(chunks), 0)
    ledger = read_ledger(table)
    sources = {source.path: source for chunk in chunks for source in chunk.sources}
    known = [path for path in sources if path in ledger]
    touched = {path: sources[path] for path in known if ledger[path].versions != {sources[path].version}}
    _refuse_changed(touched, ledger, table, chunks, read)
    partial = [path for path in known if not ledger[path].is_complete]
    done = done_rows(table, partial) if partial else {}
    left = [_without_finished(chunk, ledger, done) for chunk in chunks]
    return Remaining(
        [chunk for chunk in left if chunk.sources],
        sum(ledger[path].rows for path in known),
        {path: source.version for path, source in touched.items()},
    )


def _without_finished(chunk: Chunk, ledger: Mapping[str, LedgerEntry], done: Mapping[str, RowRanges]) -> Chunk:
    sources = tuple(
        source for source in chunk.sources if source.path not in ledger or not ledger[source.path].is_complete
    )
    return replace(chunk, sources=sources, done={s.path: done[s.path] for s in sources if s.path in done})


def _refuse_changed(
    touched: Mapping[str, Source], ledger: Mapping[str, LedgerEntry], table: Table, chunks: Sequence[Chunk], read: Read
) -> None:
    changed = {
        path: f"size and time were {', '.join(sorted(ledger[path].versions))}, are {source.version}"
        for path, source in touched.items()
        if not _has_size_of(source, ledger[path])
    }
    # a size needs no reading
    changed = changed or copies.differing(table, {path: ledger[path] for path in touched}, chunks, read, every=False)
    if not changed:
        return
    first, *others = changed
    named = f", and so have {len(others)} others, e.g. {', '.join(others[:NAMES_IN_MESSAGE])}" if others else ""
    raise InputError(
        f"{first}: changed since it was embedded into {table.uri} ({changed[first]}){named}; "
        "put the old file back, or embed into another --table"
    )


def _has_size_of(source: Source, entry: LedgerEntry) -> bool:
    """Whether a source may be a copy: a version that tells no size (of a Lance fragment) changes with the content."""
    sizes = storage.sizes_in(source.version)
    return bool(sizes) and all(storage.sizes_in(version) == sizes for version in entry.versions)
