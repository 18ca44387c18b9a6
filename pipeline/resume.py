"""What is left to do: the planned chunks, less what the table holds already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.errors import InputError
from pipeline.sample import Chunk, RowRanges, Source
from pipeline.table import LedgerEntry, Table, done_rows, read_ledger


def remaining(chunks: Sequence[Chunk], table: Table | None) -> tuple[list[Chunk], int]:
    """The chunks with something left to do, and how many rows of this input the table holds.

    A source that is in the table whole is dropped unread; one that is there in part carries its finished rows along.

    Raises:
        InputError: a source has changed since its rows were embedded.
    """
    if table is None:
        return list(chunks), 0
    ledger = read_ledger(table)
    sources = {source.path: source for chunk in chunks for source in chunk.sources}
    for source in sources.values():
        _refuse_changed(source, ledger, table)
    known = [path for path in sources if path in ledger]
    partial = [path for path in known if not ledger[path].is_complete]
    done = done_rows(table, partial) if partial else {}
    left = [_without_finished(chunk, ledger, done) for chunk in chunks]
    return [chunk for chunk in left if chunk.sources], sum(ledger[path].rows for path in known)


def _without_finished(chunk: Chunk, ledger: Mapping[str, LedgerEntry], done: Mapping[str, RowRanges]) -> Chunk:
    sources = tuple(
        source for source in chunk.sources if source.path not in ledger or not ledger[source.path].is_complete
    )
    return replace(chunk, sources=sources, done={s.path: done[s.path] for s in sources if s.path in done})


def _refuse_changed(source: Source, ledger: Mapping[str, LedgerEntry], table: Table) -> None:
    entry = ledger.get(source.path)
    if entry is not None and entry.version != source.version:
        raise InputError(
            f"{source.path}: changed since it was embedded into {table.uri} (size and time were {entry.version}, "
            f"are {source.version}); put the old file back, or embed into another --table"
        )
