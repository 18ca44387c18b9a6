"""Compares rows with samples: is each source complete in the table, and is the input unchanged since?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from pipeline import sources
from pipeline.resume import copies
from pipeline.sample import Chunk, Source
from pipeline.sources import InputOptions, SourceOptions
from pipeline.table import LedgerEntry, Table
from pipeline.verify.problem import EXAMPLES, Problem

Ledger = Mapping[str, LedgerEntry]


@dataclass(frozen=True)
class Input:
    """The current input."""

    options: SourceOptions
    input_format: str
    chunks: Sequence[Chunk]
    sources: Mapping[str, Source] = field(default_factory=dict)

    @classmethod
    def list(cls, options: InputOptions) -> Input:
        """Lists the input as a run does.

        Raises:
            InputError: the input does not exist, or does not match the options.
        """
        source_options = SourceOptions.part_of(options)
        input_format, _, chunks = sources.planned(source_options)
        return cls(
            source_options, input_format, chunks, {source.path: source for chunk in chunks for source in chunk.sources}
        )


def count_sources(ledger: Ledger, listed: Input | None) -> dict[str, int]:
    """Counts of sources by kind, for the summary."""
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
    fix = "if ledger-keys finds no problem, the source has fewer samples than before: embed into another table"
    return _named("rows-beyond-source", [_counted(path, ledger) for path in surplus], fix)


def check_complete(ledger: Ledger) -> list[Problem]:
    """Each source of known size is complete in the table."""
    fix = "run the command that made the table again: it embeds the missing rows"
    return _named("incomplete-sources", [_counted(path, ledger) for path in _lacking(ledger)], fix)


def check_unchanged(ledger: Ledger, listed: Input, checked: Table) -> list[Problem]:
    """Each source is the file that was embedded, or a copy of it, by the rules of a run."""
    touched = copies.touched(listed.sources, ledger)
    resized = copies.resized(touched, ledger)
    same_size = {path: ledger[path] for path in touched if path not in resized}
    read = sources.formats()[listed.input_format].read
    differing = copies.differing(
        checked, same_size, listed.chunks, lambda chunk: read(chunk, listed.options), every=False
    )
    fix = (
        "restore the old files, or embed them with --replace-changed; if another input has the same "
        "file names, give the --source-prefix NAME that it was embedded with"
    )
    return _named("changed-sources", [*resized, *differing], fix)


def check_new(ledger: Ledger, listed: Input) -> list[Problem]:
    """Each source that contains a sample has rows in the table.

    Reads new sources up to the first one that contains a sample. The sources after it are counted without reading.
    """
    new = listed.sources.keys() - ledger.keys()
    fix = "run the embed command again: it embeds the new sources"
    return _named("new-sources", list(new - _first_without_samples(listed, new)), fix)


def _first_without_samples(listed: Input, new: Set[str]) -> set[str]:
    """The new sources without samples, up to the first one that has a sample."""
    read = sources.formats()[listed.input_format].read
    empty: set[str] = set()
    for chunk in listed.chunks:
        for source in chunk.sources:
            if source.path in new:
                rows = replace(chunk, sources=(source,), with_images=False, with_captions=False)
                if any(True for _ in read(rows, listed.options)):
                    return empty - {source.path}
                empty.add(source.path)
    return empty


def _lacking(ledger: Ledger) -> list[str]:
    return [path for path, entry in ledger.items() if entry.rows < (entry.rows_in_source or 0)]


def _counted(path: str, ledger: Ledger) -> str:
    return f"{path}: {ledger[path].rows} of {ledger[path].rows_in_source}"


def _named(check: str, found: Sequence[str], fix: str) -> list[Problem]:
    return [Problem(check, len(found), tuple(sorted(found)[:EXAMPLES]), fix)] if found else []
