"""Rows against samples: does the table hold each source whole, and is the input still the one it was made from?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from pipeline import sources
from pipeline.resume import copies
from pipeline.sample import Chunk, Source
from pipeline.sources import SourceOptions
from pipeline.table import LedgerEntry, Table
from pipeline.verify.problem import EXAMPLES, Problem

Ledger = Mapping[str, LedgerEntry]


@dataclass(frozen=True)
class Input:
    """The input as it is now."""

    input_format: str
    chunks: Sequence[Chunk]
    sources: Mapping[str, Source] = field(default_factory=dict)

    @classmethod
    def list(cls, options: SourceOptions) -> Input:
        """Lists it, as a run would.

        Raises:
            InputError: it is not there, or not what the options say.
        """
        input_format, listing = sources.resolve(options)
        chunks = sources.formats()[input_format].plan(listing, options)
        return cls(input_format, chunks, {source.path: source for chunk in chunks for source in chunk.sources})


def count_sources(ledger: Ledger, listed: Input | None) -> dict[str, int]:
    """How many sources there are of each kind, for the summary."""
    counts = {
        "in_table": len(ledger),
        "whole": sum(entry.is_complete for entry in ledger.values()),
        "incomplete": len(_lacking(ledger)),
        "unknown_size": sum(entry.rows_in_source is None for entry in ledger.values()),
    }
    if listed is None:
        return counts
    return counts | {
        "in_input": len(listed.sources),
        "new": len(listed.sources.keys() - ledger.keys()),
        "not_in_input": len(ledger.keys() - listed.sources.keys()),
    }


def check_source_rows(ledger: Ledger) -> list[Problem]:
    """No source has more rows than samples."""
    surplus = [path for path, entry in ledger.items() if (entry.rows_in_source or entry.rows) < entry.rows]
    mend = "where ledger-keys finds nothing, the source has shrunk: embed into another table"
    return _named("rows-beyond-source", [_counted(path, ledger) for path in surplus], mend)


def check_whole(ledger: Ledger) -> list[Problem]:
    """Each source whose size is known is there whole."""
    mend = "run the embed command that made the table again: it embeds the rows that are missing"
    return _named("incomplete-sources", [_counted(path, ledger) for path in _lacking(ledger)], mend)


def check_unchanged(ledger: Ledger, listed: Input, options: SourceOptions, checked: Table) -> list[Problem]:
    """Each source is the file that it was when it was embedded, or a copy of it, as a run would find."""
    touched = copies.touched(listed.sources, ledger)
    resized = copies.resized(touched, ledger)
    same_size = {path: ledger[path] for path in touched if path not in resized}
    read = sources.formats()[listed.input_format].read
    differing = copies.differing(checked, same_size, listed.chunks, lambda chunk: read(chunk, options), every=False)
    mend = "put the old files back, or embed into another table"
    return _named("changed-sources", [*resized, *differing], mend)


def check_new(ledger: Ledger, listed: Input, options: SourceOptions) -> list[Problem]:
    """Each source that holds a sample has rows. Reads new ones until one has a sample; those after it count unread."""
    new = listed.sources.keys() - ledger.keys()
    mend = "run the embed command again: it embeds what is new"
    return _named("new-sources", list(new - _first_without_samples(listed, new, options)), mend)


def _first_without_samples(listed: Input, new: Set[str], options: SourceOptions) -> set[str]:
    """Those of the new sources that hold no sample, up to the first that does."""
    read = sources.formats()[listed.input_format].read
    empty: set[str] = set()
    for chunk in listed.chunks:
        for source in chunk.sources:
            if source.path in new:
                if any(True for _ in read(replace(chunk, sources=(source,), with_images=False), options)):
                    return empty - {source.path}
                empty.add(source.path)
    return empty


def _lacking(ledger: Ledger) -> list[str]:
    return [path for path, entry in ledger.items() if entry.rows < (entry.rows_in_source or 0)]


def _counted(path: str, ledger: Ledger) -> str:
    return f"{path}: {ledger[path].rows} of {ledger[path].rows_in_source}"


def _named(check: str, found: Sequence[str], mend: str) -> list[Problem]:
    return [Problem(check, len(found), tuple(sorted(found)[:EXAMPLES]), mend)] if found else []
