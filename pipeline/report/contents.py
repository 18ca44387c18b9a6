"""Reads everything from a table that a report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import schema
from pipeline.report import at_cut, chosen_cut, distributions, duplicates, pairs, runs, thumbnails
from pipeline.report.at_cut import AtCut
from pipeline.report.chosen_cut import Chosen, Evidence
from pipeline.report.distributions import Distribution
from pipeline.report.duplicates import Duplicates
from pipeline.report.pairs import Examples, Pair
from pipeline.report.runs import PastRun
from pipeline.report.thumbnails import Thumbnail
from pipeline.sources import SourceOptions
from pipeline.table import Table
from pipeline.upkeep import rejects, status


@dataclass(frozen=True)
class Contents:
    table: Table
    rows: Counter[tuple[str | None, ...]]
    """by (status, stage, reason)"""
    reject_examples: Mapping[tuple[str | None, str | None], str]
    """the message of one rejected row for each (stage, reason)"""
    chosen: Chosen
    evidence: Evidence
    at_cut: AtCut | None
    """estimates about the pairs that the cut keeps; None if there are none"""
    distributions: Sequence[Distribution]
    not_shown: Sequence[str]
    """numeric columns beyond `distributions.MOST`"""
    examples: Examples
    duplicates: Duplicates | None
    """None if deduplication has not run"""
    pairs: Mapping[int, Pair]
    """pairs of the examples and the duplicates, by the row's address"""
    thumbnails: Mapping[int, Thumbnail] | None
    """None if no input was given and the table stores none"""
    runs: Sequence[PastRun]
    cost_per_hour: float | None

    def count(self, status: str) -> int:
        return sum(rows for (kind, *_), rows in self.rows.items() if kind == status)


def gather(table: Table, manifest: Path | None, source: SourceOptions | None, cost_per_hour: float | None) -> Contents:
    """Reads a report's contents.

    Args:
        manifest: manifest of an earlier filter, to show its cut.
        source: the input to read images from that the table does not store.

    Raises:
        UsageError: the file is not a filter's manifest, or is one for scores of another model.
        TableError: the table lacks a column that the earlier filter used.
        InputError: the input cannot be read, or the table was not made from it.
    """
    selection = chosen_cut.selection_of(manifest)
    found = chosen_cut.evidence(table, selection, makes_cut=manifest is None)
    chosen = chosen_cut.choose(table, selection, found, manifest)
    shown = pairs.examples(chosen)
    marked = duplicates.find(table)
    of_duplicates = [address for group in marked.largest for address in group.addresses] if marked else []
    addresses = np.concatenate([shown.above, shown.below, shown.best, shown.worst]).tolist() + of_duplicates
    stored = thumbnails.stored_columns(table)
    read = pairs.read(table, list(dict.fromkeys(addresses)), [*chosen.columns, *stored])
    names = distributions.columns(table)
    rows = status.count_rows(table, (schema.STATUS, schema.STAGE, schema.REASON))
    kinds = ((stage, reason) for kind, stage, reason in rows if kind == schema.REJECTED)
    return Contents(
        table=table,
        rows=rows,
        reject_examples=rejects.examples(table, kinds),
        chosen=chosen,
        evidence=found,
        at_cut=at_cut.at_cut(chosen, found, table.identity),
        distributions=distributions.measure(table, names[: distributions.MOST]),
        not_shown=names[distributions.MOST :],
        examples=shown,
        duplicates=marked,
        pairs=read,
        thumbnails=thumbnails.read(source, read.values()) if source or stored else None,
        runs=runs.runs(table),
        cost_per_hour=cost_per_hour,
    )
